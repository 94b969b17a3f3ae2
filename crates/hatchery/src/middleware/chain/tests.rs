//! The chain: order, filters, and what is wrong with them.

use std::fs;

use axum::body::Body;
use axum::routing::get;
use http::request::Parts;
use tempfile::TempDir;

use super::*;
use crate::Package;
use crate::config::{Config, Sources};
use crate::loader::Unit;
use crate::middleware::from_async;
use crate::middleware::tests::of_config;

const BLOG: Package = package("blog");
const AUDIT: Package = package("audit");

const fn package(module: &'static str) -> Package {
    Package {
        name: module,
        version: "0",
        manifest_dir: "/",
        module,
    }
}

macro_rules! marks {
    ($($name:ident in $package:ident;)*) => {
        $(
            async fn $name(request: axum::extract::Request, next: Next) -> axum::response::Response {
                let mut response = next.run(request).await;
                let marks = response.headers().get("marks").map(|marks| marks.to_str().unwrap());
                let marks = format!("{} {}", stringify!($name), marks.unwrap_or_default());
                let marks = http::HeaderValue::try_from(marks.trim()).unwrap();
                response.headers_mut().insert("marks", marks);
                response
            }
        )*
        static ITEMS: &[Registration] = &[
            Registration {
                module: "blog",
                name: "writes",
                file: "src/app/middleware/admin.rs",
                line: 20,
                item: Item::Predicate(|parts: &Parts| parts.method != http::Method::GET),
            },
            $(Registration {
                module: $package.module,
                name: stringify!($name),
                file: concat!($package!(), "/src/app/middleware/", stringify!($name), ".rs"),
                line: 4,
                item: Item::Middleware(|arguments| from_async(arguments, $name)),
            },)*
        ];
    };
}

macro_rules! BLOG {
    () => {
        "blog"
    };
}
macro_rules! AUDIT {
    () => {
        "audit"
    };
}

marks! {
    timing in BLOG;
    admin in BLOG;
    spare in BLOG;
    audit in AUDIT;
}

static META: Registration = own::META;

static TWICE: Registration = Registration {
    module: "audit",
    name: "timing",
    file: "audit/src/lib.rs",
    line: 30,
    item: Item::Middleware(|arguments| from_async(arguments, timing)),
};

fn units() -> Vec<Unit> {
    let audit = Unit::plugin("audit", AUDIT).core_middleware("audit");
    let blog = Unit::new(crate::loader::UnitKind::Application, "blog", BLOG);
    vec![
        audit,
        Unit::framework("hatchery", package("hatchery")),
        blog,
    ]
}

/// The application with a file `config/config.default.toml`.
fn application(toml: &str) -> Application {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(dir.path().join("config/config.default.toml"), toml).unwrap();
    let sources = Sources {
        base_dir: dir.path().to_owned(),
        ..Sources::default()
    };
    of_config(Config::load(&sources).unwrap())
}

/// The middleware that a request comes through, outermost first.
async fn marks(toml: &str, method: &str, path: &str) -> String {
    let app = application(toml);
    let timing = Timing::begin();
    let order = LoadOrder::new(units(), &[], ITEMS.iter().chain([&META])).unwrap();
    let chain = Chain::load(&app, &order, &timing).unwrap();
    let router = Router::new().fallback(get("").post(""));
    let next = chain.lay_all(router);
    let request = http::Request::builder().method(method).uri(path);
    let response = next.run(request.body(Body::empty()).unwrap()).await;
    let marks = response.headers().get("marks");
    marks
        .map(|marks| marks.to_str().unwrap().to_owned())
        .unwrap_or_default()
}

/// What is wrong with a configuration.
fn problems(toml: &str) -> String {
    let app = application(toml);
    let order = LoadOrder::new(units(), &[], ITEMS.iter().chain([&META])).unwrap();
    let error = Chain::load(&app, &order, &Timing::begin()).unwrap_err();
    error.to_string()
}

const ORDER: &str = "[middleware]\norder = [\"timing\", \"admin\"]\n";

#[tokio::test]
async fn the_core_is_before_the_application_and_each_in_its_order() {
    assert_eq!(marks("", "GET", "/").await, "audit");
    assert_eq!(marks(ORDER, "GET", "/").await, "audit timing admin");
    let other = "[middleware]\norder = [\"admin\", \"timing\"]\n";
    assert_eq!(marks(other, "GET", "/").await, "audit admin timing");
    let off =
        format!("{ORDER}[middleware.admin]\nenable = false\n[middleware.audit]\nenable = false");
    assert_eq!(marks(&off, "GET", "/").await, "timing");
}

#[tokio::test]
async fn meta_tells_the_time_where_it_is_enabled() {
    let app = application("[middleware.meta]\nenable = true\n");
    let timing = Timing::begin();
    let order = LoadOrder::new(units(), &[], ITEMS.iter().chain([&META])).unwrap();
    let chain = Chain::load(&app, &order, &timing).unwrap();
    let next = chain.lay_all(Router::new());
    let response = next.run(axum::extract::Request::default()).await;
    let took = response.headers()["x-readtime"].to_str().unwrap();
    assert!(took.parse::<f64>().unwrap() >= 0.0);
}

#[tokio::test]
async fn no_spelling_of_a_path_escapes_a_filter() {
    let table = format!("{ORDER}[middleware.admin]\n");
    let only = format!("{table}match = [\"/api\", {{ regex = \"[.]key$\" }}]\n");
    for path in [
        "/%61pi",
        "/a%70i/x",
        "/A%70I",
        "//api",
        "/%2fapi/x",
        "/api%2fx",
        "/x/../api",
        "/x/%2e%2e/api/y",
        "/./api",
        "/api/../x",
        "/x%2ekey",
    ] {
        assert_eq!(
            marks(&only, "GET", path).await,
            "audit timing admin",
            "{path}"
        );
    }
    for path in ["/%61pis", "/x%2fapi", "/x//api", "/%zz"] {
        assert_eq!(marks(&only, "GET", path).await, "audit timing", "{path}");
    }
    let except = format!("{table}ignore = [\"/open\", {{ regex = \"^/free\" }}]\n");
    for path in [
        "/%6fpen",
        "/OPEN",
        "//open",
        "/%2fopen",
        "/open%2fx",
        "/open/../api",
        "/open/%2e%2e/api",
        "/open/..%2fapi",
        "/free/../api",
        "/fr%65e",
    ] {
        assert_eq!(
            marks(&except, "GET", path).await,
            "audit timing admin",
            "{path}"
        );
    }
    for path in ["/open", "/open/a%20b", "/open//x", "/open/x/../y", "/free"] {
        assert_eq!(marks(&except, "GET", path).await, "audit timing", "{path}");
    }
}

#[tokio::test]
async fn a_prefix_matches_whole_segments_and_match_either_case() {
    let only = format!("{ORDER}[middleware.admin]\nmatch = \"/api\"\n");
    let except = format!("{ORDER}[middleware.admin]\nignore = [\"/api/\"]\n");
    for (path, is_below) in [
        ("/api", true),
        ("/api/x", true),
        ("/API", true),
        ("/Api/x/y", true),
        ("/apix", false),
        ("/", false),
        ("/x/api", false),
    ] {
        let with = "audit timing admin";
        let without = "audit timing";
        let sees = if is_below { with } else { without };
        // `ignore` tells the case.
        let is_ignored = is_below && path.starts_with("/api");
        let ignores = if is_ignored { without } else { with };
        assert_eq!(marks(&only, "GET", path).await, sees, "match {path}");
        assert_eq!(marks(&except, "GET", path).await, ignores, "ignore {path}");
    }
}

#[tokio::test]
async fn expressions_and_predicates_are_conditions_too() {
    let toml = format!(
        "{ORDER}[middleware.admin]\n\
         match = [\"/admin\", {{ regex = '[.]secret$' }}, {{ predicate = \"writes\" }}]\n"
    );
    for (method, path, sees) in [
        ("GET", "/", false),
        ("GET", "/admin/x", true),
        ("GET", "/a.secret", true),
        ("GET", "/a.secret/b", false),
        ("POST", "/", true),
    ] {
        let marks = marks(&toml, method, path).await;
        assert_eq!(marks.ends_with("admin"), sees, "{method} {path}: {marks}");
    }
}

#[test]
fn semantic_37_match_and_ignore_exclude_each_other() {
    let toml = format!("{ORDER}[middleware.admin]\nmatch = \"/a\"\nignore = \"/b\"\n");
    assert_eq!(
        problems(&toml),
        "middleware `admin` has both `match` (config/config.default.toml:4:9) and `ignore` \
         (config/config.default.toml:5:10): keep one of them"
    );
}

#[test]
fn semantic_38_a_middleware_is_in_the_chain_once() {
    assert_eq!(
        problems("[middleware]\norder = [\"timing\", \"audit\", \"timing\"]\n"),
        "middleware `audit` redefined: plugin audit has put it into the chain already, \
         config/config.default.toml:2:20 names it again\n\
         middleware `timing` redefined: config/config.default.toml:2:10 has put it into the chain \
         already, config/config.default.toml:2:29 names it again"
    );
    let app = application("");
    let items = ITEMS.iter().chain([&META, &TWICE]);
    let order = LoadOrder::new(units(), &[], items).unwrap();
    let error = Chain::load(&app, &order, &Timing::begin()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "middleware `timing` redefined: audit/src/lib.rs:30 and \
         blog/src/app/middleware/timing.rs:4"
    );
}

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let toml = "[middleware]\norder = [\"timin\", 3]\n\
                [middleware.admni]\nx = 1\n";
    assert_eq!(
        problems(toml),
        "config/config.default.toml:3:13: no middleware is called `admni` (`[middleware.admni]`), \
         did you mean `admin`?\n\
         config/config.default.toml:2:19: middleware.order: 3 is not the name of a middleware\n\
         config/config.default.toml:2:10: no middleware is called `timin`, did you mean `timing`?"
    );
    for (value, problem) in [
        ("\"api\"", "the path prefix `api` must begin with `/`"),
        (
            "\"/users/{id}\"",
            "the path prefix `/users/{id}` cannot have parameters: use `{ regex = \"…\" }`",
        ),
        (
            "{ predicate = \"write\" }",
            "no predicate is called `write`, did you mean `writes`?",
        ),
        (
            "3",
            "3 is no condition: it is a path prefix, `{ regex = \"…\" }`, \
             `{ predicate = \"name\" }`, or an array of these",
        ),
    ] {
        let toml = format!("{ORDER}[middleware.admin]\nignore = {value}\n");
        let place = "config/config.default.toml:4:10: middleware.admin.ignore";
        assert_eq!(problems(&toml), format!("{place}: {problem}"));
    }
    let toml = format!("{ORDER}[middleware.admin]\nmatch = {{ regex = \"(\" }}\n");
    let begin =
        "config/config.default.toml:4:9: middleware.admin.match: `(` is no regular expression";
    assert!(problems(&toml).starts_with(begin), "{}", problems(&toml));
}

#[tokio::test]
async fn a_route_names_middleware_that_is_made_when_it_is_needed() {
    // What nobody names is not made: its options are not looked at.
    let app = application("[middleware.spare]\nunknown = 1\n");
    let timing = Timing::begin();
    let order = LoadOrder::new(units(), &[], ITEMS.iter().chain([&META])).unwrap();
    let chain = Chain::load(&app, &order, &timing).unwrap();
    let end = || Next::of(|_| Box::pin(async { axum::response::Response::default() }));
    let error = chain.lay("spare", end()).unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "middleware `spare` (blog/src/app/middleware/spare.rs:4): \
         config/config.default.toml:2:1: unknown key `middleware.spare.unknown`"
    );
    let next = chain.lay("timing", end()).unwrap().unwrap();
    let response = next.run(axum::extract::Request::default()).await;
    assert_eq!(response.headers()["marks"], "timing");
    assert!(chain.lay("timign", end()).is_none());
    assert_eq!(chain.names(), ["admin", "audit", "meta", "spare", "timing"]);
}

/// What nobody uses, when a route names `timing`.
fn unused(toml: &str) -> String {
    let app = application(toml);
    let timing = Timing::begin();
    let order = LoadOrder::new(units(), &[], ITEMS.iter().chain([&META])).unwrap();
    let chain = Chain::load(&app, &order, &timing).unwrap();
    let end = Next::of(|_| Box::pin(async { axum::response::Response::default() }));
    chain.lay("timing", end).unwrap().unwrap();
    let unused = chain.check_used();
    unused
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn a_filter_of_a_middleware_that_nobody_uses_is_an_error() {
    assert_eq!(
        unused("[middleware.admin]\nmatch = \"/admin\"\n[middleware.spare]\nignore = \"/x\"\n"),
        "config/config.default.toml:2:9: middleware `admin` is configured (`match`), and nobody \
         uses it: put it into `middleware.order`, name it in a route, or write `enable = false`\n\
         config/config.default.toml:4:10: middleware `spare` is configured (`ignore`), and nobody \
         uses it: put it into `middleware.order`, name it in a route, or write `enable = false`"
    );
    for used in [
        "[middleware.timing]\nmatch = \"/admin\"",
        "[middleware.audit]\nignore = \"/x\"",
        "[middleware.meta]\nmatch = \"/x\"",
        "[middleware]\norder = [\"admin\"]\n[middleware.admin]\nmatch = \"/x\"",
        "[middleware.admin]\nenable = false\nmatch = \"/x\"",
        "[middleware.spare]\noption = 1",
    ] {
        assert_eq!(unused(used), "", "{used}");
    }
}
