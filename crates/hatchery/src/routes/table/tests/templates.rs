//! `template`: what shows what a handler returns.

use super::*;
use crate::middleware::tests::in_env;

/// A directory with templates in `view/`, beside the configuration.
fn base(templates: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in templates {
        let file = dir.path().join("view").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    dir
}

fn showing(dir: &TempDir, template: &str, more: &str) -> Application {
    let config = dir.path().join("config");
    fs::create_dir_all(&config).unwrap();
    let text = format!(
        "{more}[[routes]]\ntype = \"http\"\nroute = \"/x\"\nhandler = \"own.echo\"\n\
         method = [\"get\", \"post\"]\ntemplate = \"{template}\"\n"
    );
    fs::write(config.join("config.default.toml"), text).unwrap();
    let sources = Sources {
        base_dir: dir.path().to_owned(),
        env: Some("prod".to_owned()),
        ..Sources::default()
    };
    of_config(Config::load(&sources).unwrap())
}

async fn page(app: &Application, query: &str) -> (StatusCode, String) {
    ask(app, http::Request::get(query), "").await
}

const LAYOUT: &str = "<h1>{% block title %}{% endblock %}</h1>";
const SEARCH: &str =
    "{% extends 'layout.html' %}{% block title %}{{ q }} ({{ page }}){% endblock %}";

#[tokio::test]
async fn a_template_shows_the_fields_of_an_object_and_escapes_them() {
    let dir = base(&[("layout.html", LAYOUT), ("search.html", SEARCH)]);
    let app = showing(&dir, "search.html", "");
    // It is in memory: what becomes of the files does not count.
    let routes = load(&app).unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    let mut request = http::Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/x?q=%3Cb%3E&page=2");
    let context = app.context_for(&request);
    request.extensions_mut().insert(context);
    let response = routes.clone().call(request).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(body, "<h1>&lt;b&gt; (2)</h1>");
}

/// Egg's, too: a page is there as soon as its file is written.
#[tokio::test]
async fn in_the_environment_local_templates_are_read_again() {
    let dir = base(&[("a.html", "old")]);
    let config = showing(&dir, "a.html", "").config().clone();
    let app = in_env("local", config);
    let routes = load(&app).unwrap();
    let show = async || {
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/x");
        let context = app.context_for(&request);
        request.extensions_mut().insert(context);
        let response = routes.clone().call(request).await.unwrap();
        to_bytes(response.into_body(), usize::MAX).await.unwrap()
    };
    assert_eq!(show().await, "old");
    fs::write(dir.path().join("view/a.html"), "newer").unwrap();
    assert_eq!(show().await, "newer");
}

#[tokio::test]
async fn what_is_no_object_is_the_templates_data() {
    let dir = base(&[("any.txt", "{{ data }}!")]);
    let app = showing(&dir, "any.txt", "");
    for (body, text) in [("[1,2]", "[1, 2]!"), ("\"<eggs>\"", "<eggs>!"), ("0", "0!")] {
        let request = http::Request::post("/x");
        assert_eq!(
            ask(&app, request, body).await,
            (StatusCode::OK, text.to_owned())
        );
    }
}

#[tokio::test]
async fn the_directory_of_templates_is_configured() {
    let dir = base(&[("../pages/a.html", "a")]);
    let app = showing(&dir, "a.html", "[view]\nroot = \"pages\"\n");
    assert_eq!(page(&app, "/x").await, (StatusCode::OK, "a".to_owned()));
}

#[tokio::test]
async fn a_template_that_fails_is_our_own_fault() {
    let dir = base(&[("a.html", "{{ q.a.b }}")]);
    let app = showing(&dir, "a.html", "");
    let (status, body) = page(&app, "/x?q=1").await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    );
}

#[test]
fn what_is_wrong_with_a_template_is_said_with_the_place_of_the_route() {
    let dir = base(&[
        ("search.html", "{% if q %}\n{{ q }\n"),
        ("admin/posts.html", ""),
        ("page.html", "{% extends 'layuot.html' %}"),
        ("layout.html", "{# {% include 'none.html' %} #}"),
        (
            "maybe.html",
            "{% include \"none.html\" ignore missing %}{% raw %}{% include 'x' %}{% endraw %}",
        ),
    ]);
    let view = dir.path().join("view");
    let view = view.display();
    for (template, text) in [
        (
            "serach.html",
            format!("there is no template `serach.html` in {view}, did you mean `search.html`?"),
        ),
        (
            "admin/post.html",
            format!(
                "there is no template `admin/post.html` in {view}, did you mean \
                 `admin/posts.html`?"
            ),
        ),
        (
            "../config/config.default.toml",
            format!("there is no template `../config/config.default.toml` in {view}"),
        ),
        (
            "search.html",
            format!(
                "{view}/search.html:2: syntax error: unexpected `}}`, expected end of variable block"
            ),
        ),
        (
            "page.html",
            format!(
                "the template `page.html`: there is no template `layuot.html` in {view}, did you \
                 mean `layout.html`?"
            ),
        ),
    ] {
        let problem = load(&showing(&dir, template, "")).unwrap_err().to_string();
        assert_eq!(problem, format!("config/config.default.toml:1:1: {text}"));
    }
    for template in ["layout.html", "maybe.html"] {
        assert!(load(&showing(&dir, template, "")).is_ok());
    }
}

#[tokio::test]
async fn a_page_without_a_handler_shows_what_its_entry_says() {
    let dir = base(&[("about.html", "<p>{{ title }}, {{ authors[0].name }}")]);
    let entry = "[[routes]]\ntype = \"template\"\nroute = \"/about\"\nname = \"about\"\n\
                 template = \"about.html\"\n\
                 locals = { title = \"<b>\", authors = [{ name = \"A\" }] }\n";
    let app = showing(&dir, "about.html", entry);
    assert_eq!(
        page(&app, "/about").await,
        (StatusCode::OK, "<p>&lt;b&gt;, A".to_owned())
    );
    let (status, _) = ask(&app, http::Request::post("/about"), "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let missing = entry.replace("about.html", "abuot.html");
    let problem = load(&showing(&dir, "about.html", &missing)).unwrap_err();
    let view = dir.path().join("view");
    assert_eq!(
        problem.to_string(),
        format!(
            "config/config.default.toml:1:1: there is no template `abuot.html` in {}, did you \
             mean `about.html`?",
            view.display()
        )
    );
}
