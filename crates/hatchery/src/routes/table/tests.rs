//! `[[routes]]`: what is served, and what is wrong.

mod redirects;
#[cfg(feature = "templates")]
mod templates;
#[cfg(feature = "validate")]
mod validate;

use std::fs;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use tempfile::TempDir;
use tower_service::Service as _;

use super::*;
use crate::config::{Config, Sources};
use crate::loader::{Unit, UnitKind};
use crate::middleware::tests::of_config;
use crate::routes::{Event, named};
use crate::{Context, Package};

const BLOG: Package = Package {
    name: "blog",
    version: "0",
    manifest_dir: "/",
    module: "blog",
};

#[derive(Deserialize)]
struct Wanted {
    q: String,
}

async fn find(Event(wanted): Event<Wanted>, ctx: Context) -> Vec<String> {
    vec![wanted.q, ctx.app().name().to_owned()]
}

async fn echo(event: Value) -> Value {
    event
}

#[derive(Deserialize)]
struct Pages {
    from: u8,
    to: u8,
}

async fn page(Event(pages): Event<Pages>) -> [u8; 2] {
    [pages.from, pages.to]
}

static ITEMS: [Registration; 4] = [
    Registration {
        module: "blog::app::controller::search",
        name: "page",
        file: "src/app/controller/search.rs",
        line: 17,
        item: Item::Handler(|| named(page)),
    },
    Registration {
        module: "blog::app::controller::search",
        name: "find",
        file: "src/app/controller/search.rs",
        line: 7,
        item: Item::Handler(|| named(find)),
    },
    Registration {
        module: "blog::app::controller::admin::posts",
        name: "echo",
        file: "src/app/controller/admin/posts.rs",
        line: 9,
        item: Item::Handler(|| named(echo)),
    },
    Registration {
        module: "blog::own",
        name: "echo",
        file: "src/own.rs",
        line: 9,
        item: Item::Handler(|| named(echo)),
    },
];

fn application(toml: &str) -> Application {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(dir.path().join("config/config.default.toml"), toml).unwrap();
    let sources = Sources {
        base_dir: dir.path().to_owned(),
        env: Some("prod".to_owned()),
        ..Sources::default()
    };
    of_config(Config::load(&sources).unwrap())
}

#[test]
fn a_name_of_two_handlers_of_a_unit_names_both_places() {
    const fn search(module: &'static str, file: &'static str) -> Registration {
        Registration {
            module,
            name: "page",
            file,
            line: 3,
            item: Item::Handler(|| named(page)),
        }
    }
    static TWO: [Registration; 2] = [
        search(
            "blog::app::controller::search",
            "src/app/controller/search.rs",
        ),
        search(
            "blog::other::controller::search",
            "src/other/controller/search.rs",
        ),
    ];
    let app = application("");
    let units = vec![Unit::new(UnitKind::Application, "blog", BLOG)];
    let order = LoadOrder::new(units, &[], &TWO).unwrap();
    assert_eq!(
        add(&mut Routes::default(), &app, &order)
            .unwrap_err()
            .to_string(),
        "handler `search.page` redefined: src/app/controller/search.rs:3 and \
         src/other/controller/search.rs:3"
    );
}

/// The table of routes of a configuration, or what is wrong with it.
fn load(app: &Application) -> Result<axum::Router, BoxError> {
    let blog = Unit::new(UnitKind::Application, "blog", BLOG);
    let order = LoadOrder::new(vec![blog], &[], &ITEMS).unwrap();
    let mut routes = Routes::default();
    routes
        .get("/taken", async || "taken")
        .at("src/app/router.rs", 12);
    add(&mut routes, app, &order)?;
    routes.compile(app, &())
}

fn problem(entry: &str) -> String {
    load(&application(&format!("[[routes]]\n{entry}")))
        .unwrap_err()
        .to_string()
}

async fn ask(
    app: &Application,
    request: http::request::Builder,
    body: &'static str,
) -> (StatusCode, String) {
    let mut request = request
        .body(Body::from(Bytes::from_static(body.as_bytes())))
        .unwrap();
    let json = http::HeaderValue::from_static("application/json");
    let kind = request.headers_mut().entry("content-type");
    kind.or_insert(json);
    let context = app.context_for(&request);
    request.extensions_mut().insert(context);
    let response = load(app).unwrap().call(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_route_of_the_configuration_is_served() {
    let app = application(
        "[[routes]]\ntype = \"http\"\nroute = \"/search\"\nhandler = \"search.find\"\n\
         [[routes]]\ntype = \"http\"\nroute = \"/echo\"\nhandler = \"admin.posts.echo\"\n\
         method = [\"POST\", \"put\"]\n\
         [[routes]]\ntype = \"http\"\nroute = \"/own\"\nhandler = \"own.echo\"\n",
    );
    let (status, body) = ask(&app, http::Request::get("/search?q=eggs"), "").await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::OK, r#"["eggs","hatchery"]"#)
    );
    let (status, _) = ask(&app, http::Request::get("/search"), "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    for method in ["POST", "PUT"] {
        let request = || http::Request::builder().method(method).uri("/echo");
        let typed = request().header("content-type", "application/json");
        assert_eq!(
            ask(&app, typed, "false").await,
            (StatusCode::OK, "false".to_owned())
        );
        let untyped = request().header("content-type", "");
        let (status, _) = ask(&app, untyped, "false").await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let (status, _) = ask(&app, http::Request::get("/echo"), "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        ask(&app, http::Request::get("/own?a=1"), "").await.1,
        r#"{"a":"1"}"#
    );
}

#[test]
fn what_is_wrong_with_a_route_is_said_with_its_place() {
    let place = "config/config.default.toml:1:1";
    let http = "type = \"http\"\nroute = \"/x\"\n";
    for (entry, text) in [
        (
            "type = \"htpp\"\n".to_owned(),
            "`[[routes]]` of the unknown type `htpp`, did you mean `http`?; known: `http`, \
             `websocket`, `static`, `template`, `redirect`",
        ),
        (
            "route = \"/\"\n".to_owned(),
            "`[[routes]]` has no `type`; known: `http`, `websocket`, `static`, `template`, \
             `redirect`",
        ),
        (
            format!("{http}handler = \"serach.find\"\n"),
            "no handler is called `serach.find`, did you mean `search.find`?",
        ),
        (
            format!("{http}handler = \"Users\"\n"),
            "no handler is called `Users`: it is the module below `controller` and the name of a \
             function with `#[handler]`, as in `posts.create`",
        ),
        (
            format!("{http}handler = \"search.find\"\nmethod = \"gett\"\n"),
            "unknown method `gett`, did you mean `GET`?",
        ),
    ] {
        assert_eq!(problem(&entry), format!("{place}: {text}"));
    }
    assert_eq!(
        problem(&format!(
            "{http}handler = \"search.find\"\nmiddleware = []\n"
        )),
        "config/config.default.toml:5:1: unknown key `routes[0].middleware`, did you mean \
         `middlewares`?"
    );
}

#[test]
fn a_route_that_is_taken_is_a_conflict_of_two_places() {
    let entry = "type = \"http\"\nroute = \"/taken\"\nhandler = \"search.find\"\n";
    let problem = problem(entry);
    for part in [
        "src/app/router.rs:12",
        "config/config.default.toml:1:1",
        "/taken",
    ] {
        assert!(problem.contains(part), "{part} in {problem}");
    }
}

#[cfg(not(feature = "static-files"))]
#[test]
fn static_names_the_feature_that_it_needs() {
    assert_eq!(
        problem("type = \"static\"\nroute = \"/x\"\npath = \"x\"\n"),
        "config/config.default.toml:1:1: `type = \"static\"` needs the feature `static-files` of \
         Hatchery: in Cargo.toml, add it to the `features` of `hatchery`"
    );
}

#[cfg(not(feature = "validate"))]
#[test]
fn validate_names_the_feature_that_it_needs() {
    let entry = "type = \"http\"\nroute = \"/x\"\nhandler = \"search.find\"\nvalidate = {}\n";
    assert_eq!(
        problem(entry),
        "config/config.default.toml:1:1: `validate` needs the feature `validate` of Hatchery: in \
         Cargo.toml, add it to the `features` of `hatchery`"
    );
}

#[cfg(not(feature = "templates"))]
#[test]
fn template_names_the_feature_that_it_needs() {
    let entry = "type = \"http\"\nroute = \"/x\"\nhandler = \"search.find\"\ntemplate = \"a\"\n";
    assert_eq!(
        problem(entry),
        "config/config.default.toml:1:1: `template` needs the feature `templates` of Hatchery: in \
         Cargo.toml, add it to the `features` of `hatchery`"
    );
}
