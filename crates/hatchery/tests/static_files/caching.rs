//! What is in memory, how long it counts, and what clients may keep.

use std::fs;
use std::time::{Duration, Instant};

use hatchery::testing::{TestApp, TestResponse};

use crate::support::{configured, served, served_in, tree, write};

#[tokio::test]
async fn a_hit_needs_no_file() {
    let dir = tree();
    let app = served(&dir, "[routes.options]\nrevalidate = \"1h\"\n").await;
    let get = |path: &str| app.http_request().get(format!("/static/{path}")).send();
    let before = get("hello.txt").await;
    get("sub/").await.expect_status(200);
    get("none.txt").await.expect_status(404);
    fs::rename(dir.path().join("files"), dir.path().join("gone")).unwrap();
    let after = get("hello.txt").await;
    assert_eq!(after.expect_status(200).text(), "0123456789");
    assert_eq!(after.headers(), before.headers());
    assert_eq!(get("%68ello.txt").await.text(), "0123456789");
    get("sub/").await.expect_status(200);
    get("sub/page.html").await.expect_status(404);
    get("none.txt").await.expect_status(404);
}

/// Asks for the file until the answer is as wanted.
async fn wait_for(app: &TestApp, wanted: impl Fn(&TestResponse) -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if wanted(&app.http_request().get("/static/hello.txt").send().await) {
            return;
        }
    }
    panic!("a change of the file is never seen");
}

#[tokio::test]
async fn a_change_is_seen_when_the_file_is_looked_at_again() {
    let dir = tree();
    let app = served(&dir, "[routes.options]\nrevalidate = \"1ms\"\n").await;
    let file = dir.path().join("files/hello.txt");
    wait_for(&app, |response| response.text() == "0123456789").await;
    // The same size, and most likely the same tick of the kernel's clock.
    write(&file, "9876543210");
    wait_for(&app, |response| response.text() == "9876543210").await;
    write(&file.with_added_extension("gz"), "as gzip");
    wait_for(&app, |response| response.header("vary").is_some()).await;
    fs::remove_file(&file).unwrap();
    wait_for(&app, |response| response.status() == 404).await;
    write(&file, "back");
    wait_for(&app, |response| response.text() == "back").await;
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_served_all_the_same() {
    let dir = tree();
    for number in 0..50 {
        let file = dir.path().join(format!("files/{number}.txt"));
        write(&file, number.to_string().repeat(1000));
    }
    let options =
        "[routes.options]\nmemory = \"8KiB\"\nmemory_file = \"2KiB\"\nrevalidate = \"1h\"\n";
    let app = served(&dir, options).await;
    for _ in 0..2 {
        for number in 0..50 {
            let path = format!("/static/{number}.txt");
            let text = app.http_request().get(path).send().await.text();
            assert_eq!(text, number.to_string().repeat(1000));
        }
    }
}

#[tokio::test]
async fn what_clients_may_keep_depends_on_the_environment() {
    let dir = tree();
    let lasting = "[routes.options]\nmax_age = \"365days\"\nimmutable = true\n";
    for (env, options, expected) in [
        ("prod", "", "no-cache"),
        (
            "prod",
            "[routes.options]\nmax_age = \"1h\"\n",
            "public, max-age=3600",
        ),
        ("prod", lasting, "public, max-age=31536000, immutable"),
        ("local", lasting, "no-cache"),
    ] {
        let app = served_in(&dir, env, options).await;
        let response = app.http_request().get("/static/hello.txt").send().await;
        assert_eq!(response.header("cache-control"), Some(expected), "{env}");
    }
}

/// What is written is there with the next request, as somebody who works on it expects.
#[tokio::test]
async fn in_the_environment_local_nothing_is_remembered() {
    let dir = tree();
    let app = served_in(&dir, "local", "[routes.options]\nrevalidate = \"1h\"\n").await;
    let get = || app.http_request().get("/static/hello.txt").send();
    for text in ["0123456789", "9876543210", "5"] {
        write(&dir.path().join("files/hello.txt"), text);
        assert_eq!(get().await.text(), text);
    }
}

#[tokio::test]
async fn a_prefix_within_another_is_its_own() {
    let dir = tree();
    write(&dir.path().join("assets/app.1234.js"), "hashed");
    let text = "[[routes]]\ntype = \"static\"\nroute = \"/\"\npath = \"files\"\n\
                [[routes]]\ntype = \"static\"\nroute = \"/assets\"\npath = \"assets\"\n\
                [routes.options]\nmax_age = \"1h\"\n";
    let app = configured(&dir, "prod", text).await.unwrap();
    let hashed = app.http_request().get("/assets/app.1234.js").send().await;
    assert_eq!(hashed.header("cache-control"), Some("public, max-age=3600"));
    let plain = app.http_request().get("/hello.txt").send().await;
    assert_eq!(plain.header("cache-control"), Some("no-cache"));
}
