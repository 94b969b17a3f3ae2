//! The showcase in the test's own process: what it answers, as its configuration says.

use hatchery::http::StatusCode;
use hatchery::testing::TestApp;
use serde_json::{Value, json};

async fn showcase(config: &str) -> TestApp {
    let app = TestApp::new(showcase::app()).config(config);
    app.start().await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn what_does_not_depend_on_a_process() {
    let app = showcase("[showcase]\ngreeting = \"Hello, test\"").await;
    let ask = |path| app.http_request().get(path).send();
    assert_eq!(ask("/hello").await.expect_status(200).text(), "Hello, test");
    assert_eq!(
        ask("/json").await.json::<Value>(),
        json!({ "message": "Hello, World!" })
    );
    assert_eq!(
        ask("/users/4711").await.json::<Value>(),
        json!({ "id": "4711" })
    );
    ask("/framework").await.expect_status(400);
    let whole = app.http_request().get("/framework");
    let whole = whole.header("host", "showcase.test").send().await;
    assert_eq!(whole.header("x-stamp"), Some("showcase"));
    assert_eq!(whole.expect_status(200).text(), "Hello, test");
    assert_eq!(ask("/hello").await.header("x-stamp"), None);
    let page = ask("/").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.text().contains(&std::process::id().to_string()));
    let whoami = ask("/whoami?leave").await;
    assert_eq!(whoami.header("connection"), Some("close"));
    assert_eq!(whoami.json::<Value>()["slot"], 0);
    ask("/nowhere").await.expect_status(StatusCode::NOT_FOUND);

    let echo = json!({ "a": [1, 2.5, null] });
    let echoed = app.http_request().post("/echo").json(&echo).send().await;
    assert_eq!(echoed.json::<Value>(), echo);
    let refused = app.http_request().post("/echo").body("{").send().await;
    refused.expect_status(StatusCode::BAD_REQUEST);
    app.close().await;
}

/// The page links to files that are there, and to one that is not.
#[tokio::test]
async fn static_files_and_their_page() {
    let app = showcase("").await;
    let ask = |path: &str| app.http_request().get(path).send();
    let page = ask("/static/").await;
    assert_eq!(page.header("cache-control"), Some("public, max-age=600"));
    let page = page.expect_status(200).text();
    assert!(!page.contains("://"), "nothing comes from elsewhere");
    let links = page.split(['"']).filter(|text| text.contains('.'));
    let mut missing = Vec::new();
    for link in links.filter(|text| !text.contains(['<', ' '])) {
        if ask(&format!("/static/{link}")).await.status() != 200 {
            missing.push(link);
        }
    }
    assert_eq!(missing, ["none.txt"]);
    let slash = ask("/static").await;
    assert_eq!(
        slash.expect_status(301).header("location"),
        Some("/static/")
    );
    ask("/static/../config/config.default.toml")
        .await
        .expect_status(404);
}

#[tokio::test]
async fn faults_are_there_when_they_are_wanted() {
    let with = showcase("").await;
    let panicked = with.http_request().post("/faults/panic").send().await;
    panicked.expect_status(StatusCode::INTERNAL_SERVER_ERROR);
    let filled = with.http_request().post("/cache?mb=1").send().await;
    filled.expect_status(StatusCode::NO_CONTENT);
    let look = with.http_request().get("/cache").send().await;
    assert_eq!(look.json::<Value>(), json!({ "mb": 1, "pressure": "none" }));

    let without = showcase("[showcase]\nfaults = false").await;
    for path in ["/faults/panic", "/cache"] {
        let refused = without.http_request().post(path).send().await;
        refused.expect_status(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_boot_that_goes_wrong_says_why() {
    let starts = TestApp::new(showcase::app()).mock_config("showcase.boot_fault", "error");
    let error = starts.start().await.unwrap_err().to_string();
    assert!(
        error.ends_with(": the worker was told not to start"),
        "{error}"
    );
}
