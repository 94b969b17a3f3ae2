//! The blog, asked in process: the whole chain, without sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use hatchery::http::{StatusCode, header};
use hatchery::testing::TestApp;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A blog with its own posts.
async fn blog() -> (TestApp, TempDir) {
    let posts = TempDir::new().unwrap();
    let app = TestApp::new(blog::app())
        .env("unittest")
        .config(&format!(
            "[blog]\ndirectory = {:?}",
            posts.path().display().to_string()
        ))
        .start()
        .await
        .unwrap();
    (app, posts)
}

const ADMIN: (header::HeaderName, &str) = (header::AUTHORIZATION, "Bearer test");

#[tokio::test]
async fn a_new_blog_has_something_to_read() {
    let (app, _posts) = blog().await;
    let page = app.http_request().get("/").send().await;
    page.expect_status(StatusCode::OK);
    assert!(
        page.text()
            .contains("<h2><a href=\"/posts/1\">Hello</a></h2>")
    );
    assert!(page.header("x-took").is_some());
}

#[tokio::test]
async fn posts_are_a_resource() {
    let (app, _posts) = blog().await;
    let draft = json!({ "title": "Second", "text": "<b>" });
    let refused = app.http_request().post("/posts").json(&draft).send().await;
    refused.expect_status(StatusCode::FORBIDDEN);

    let made = app
        .http_request()
        .post("/posts")
        .header(ADMIN.0, ADMIN.1)
        .json(&draft);
    let made = made.send().await;
    made.expect_status(StatusCode::CREATED);
    assert_eq!(made.json::<Value>()["id"], 2);

    let shown = app.http_request().get("/posts/2").send().await;
    assert_eq!(shown.json::<Value>()["title"], "Second");
    let all = app.http_request().get("/posts").send().await;
    assert_eq!(all.json::<Vec<Value>>().len(), 2);

    let draft = json!({ "title": "Changed" });
    for change in [
        app.http_request().put("/posts/2"),
        app.http_request().patch("/posts/2"),
    ] {
        let changed = change.header(ADMIN.0, ADMIN.1).json(&draft).send().await;
        assert_eq!(
            changed.expect_status(StatusCode::OK).json::<Value>()["title"],
            "Changed"
        );
    }
    let gone = app
        .http_request()
        .delete("/posts/2")
        .header(ADMIN.0, ADMIN.1)
        .send()
        .await;
    gone.expect_status(StatusCode::NO_CONTENT);
    let missing = app
        .http_request()
        .get("/posts/2")
        .header(header::ACCEPT, "application/json");
    let missing = missing.send().await;
    missing.expect_status(StatusCode::NOT_FOUND);
    assert_eq!(missing.json::<Value>()["message"], "no post 2");
}

#[tokio::test]
async fn a_post_needs_a_title() {
    let (app, _posts) = blog().await;
    let request = app.http_request().post("/posts").header(ADMIN.0, ADMIN.1);
    let refused = request.json(&json!({ "title": " " })).send().await;
    refused.expect_status(StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn search_is_a_route_of_the_configuration() {
    let (app, _posts) = blog().await;
    let found = app.http_request().get("/api/search?q=before").send().await;
    assert_eq!(found.json::<Value>()[0]["title"], "Hello");
    let found = app.http_request().get("/api/search?q=nothing").send().await;
    assert_eq!(found.json::<Value>(), json!([]));
}

#[tokio::test]
async fn the_page_of_the_search_is_a_template_and_its_query_is_checked() {
    let (app, _posts) = blog().await;
    let page = app.http_request().get("/search?q=before").send().await;
    page.expect_status(StatusCode::OK);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let text = page.text();
    assert!(text.starts_with("<!doctype html>"), "{text}");
    assert!(text.contains("<a href=\"/posts/1\">Hello</a>"), "{text}");

    let page = app.http_request().get("/search?q=%3Cb%3E").send().await;
    let text = page.text();
    assert!(text.contains("nothing about “&lt;b&gt;”"), "{text}");

    let wrong = app
        .http_request()
        .get(format!("/search?q={}&page=2", "x".repeat(101)))
        .header(header::ACCEPT, "application/json");
    let wrong = wrong.send().await;
    wrong.expect_status(StatusCode::BAD_REQUEST);
    let unknown = "Additional properties are not allowed ('page' was unexpected)";
    let long = "the value is longer than 100 characters";
    assert_eq!(
        wrong.json::<Value>(),
        json!({
            "message": format!("what came in is not as wanted: {unknown}; /q: {long}"),
            "errors": [{ "path": "", "message": unknown }, { "path": "/q", "message": long }],
        })
    );
}

#[tokio::test]
async fn the_administrator_sees_what_was_noted() {
    let (app, _posts) = blog().await;
    let draft = json!({ "title": "Noted" });
    let request = app.http_request().post("/posts").header(ADMIN.0, ADMIN.1);
    request
        .json(&draft)
        .send()
        .await
        .expect_status(StatusCode::CREATED);
    let stranger = app.http_request().get("/admin").send().await;
    stranger.expect_status(StatusCode::FORBIDDEN);
    let overview = app
        .http_request()
        .get("/admin")
        .header(ADMIN.0, ADMIN.1)
        .send()
        .await;
    let overview: Value = overview.json();
    let line = overview["audit"][0].as_str().unwrap();
    assert!(line.ends_with(" post 2 created"), "{line}");
}

#[tokio::test]
async fn old_addresses_lead_to_new_ones() {
    let (app, _posts) = blog().await;
    let moved = app.http_request().get("/blog").send().await;
    moved.expect_status(StatusCode::MOVED_PERMANENTLY);
    assert_eq!(moved.header("location").unwrap(), "/");
    let wrong = app.http_request().delete("/healthy").send().await;
    wrong.expect_status(StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.header("allow").unwrap(), "GET, HEAD, OPTIONS");
}

#[tokio::test]
async fn the_search_remembers_what_was_looked_for() {
    let (app, _posts) = blog().await;
    let page = app.http_request().get("/search?q=%3Ceggs%3E").send().await;
    let cookie = page.expect_status(StatusCode::OK).cookie("HATCHERY_SESS");
    let cookie = cookie.unwrap();
    let again = || app.http_request().get("/search");
    let page = again().cookie(cookie.name(), cookie.value()).send().await;
    let text = page.expect_status(StatusCode::OK).text();
    assert!(text.contains("looked for “&lt;eggs&gt;”"), "{text}");
    assert_eq!(page.cookie("HATCHERY_SESS"), None, "nothing has changed");
    let text = again().send().await.text();
    assert!(!text.contains("looked for"), "{text}");
    app.mock_session(json!({ "searched": "hens" }));
    let text = again().send().await.text();
    assert!(text.contains("looked for “hens”"), "{text}");
}
