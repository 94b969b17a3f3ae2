//! What is served, and with which headers.

use std::fs;
use std::os::unix::fs::symlink;

use hatchery::http::Method;

use crate::support::{configured, served, served_in, tree, write};

#[tokio::test]
async fn a_file_says_what_it_is() {
    let dir = tree();
    write(&dir.path().join("files/app.js"), "");
    write(&dir.path().join("files/data.json"), "{}");
    write(&dir.path().join("files/UPPER.PNG"), "");
    write(&dir.path().join("files/none"), "");
    let app = served(&dir, "").await;
    for (path, kind) in [
        ("hello.txt", "text/plain; charset=utf-8"),
        ("sub/page.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("data.json", "application/json"),
        ("UPPER.PNG", "image/png"),
        ("none", "application/octet-stream"),
    ] {
        let response = app
            .http_request()
            .get(format!("/static/{path}"))
            .send()
            .await;
        response.expect_status(200);
        assert_eq!(response.header("content-type"), Some(kind), "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("accept-ranges"), Some("bytes"));
        assert_eq!(response.header("cache-control"), Some("no-cache"));
        assert_eq!(response.header("vary"), None);
    }
}

#[tokio::test]
async fn names_are_decoded_once() {
    let dir = tree();
    let app = served(&dir, "").await;
    for (path, text) in [
        ("hello.txt", "0123456789"),
        ("%68ello%2Etxt", "0123456789"),
        ("hello.txt?a=..%2f", "0123456789"),
        ("a%20b.txt", "a space"),
        ("%C3%BC.txt", "not in ASCII"),
        ("%2561.txt", "a percent sign"),
        ("link-within", "0123456789"),
    ] {
        let response = app
            .http_request()
            .get(format!("/static/{path}"))
            .send()
            .await;
        assert_eq!(response.expect_status(200).text(), text, "{path}");
    }
}

#[tokio::test]
async fn a_directory_is_its_index() {
    let dir = tree();
    write(&dir.path().join("files/index.html"), "<p>root");
    let app = served(&dir, "").await;
    let get = |path: &str| app.http_request().get(path).send();
    assert_eq!(get("/static/").await.expect_status(200).text(), "<p>root");
    assert_eq!(
        get("/static/sub/").await.expect_status(200).text(),
        "<p>sub"
    );
    for (path, to) in [
        ("/static", "/static/"),
        ("/static/sub?a=b", "/static/sub/?a=b"),
        ("/static/s%75b", "/static/s%75b/"),
    ] {
        let response = get(path).await;
        response.expect_status(301);
        assert_eq!(response.header("location"), Some(to));
    }
    get("/static/empty").await.expect_status(404);
    get("/static/empty/").await.expect_status(404);
    get("/staticky").await.expect_status(404);

    let none = served(&dir, "[routes.options]\nindex = \"\"\n").await;
    for path in ["/static", "/static/", "/static/sub", "/static/sub/"] {
        none.http_request()
            .get(path)
            .send()
            .await
            .expect_status(404);
    }
}

#[tokio::test]
async fn only_get_and_head_are_answered() {
    let dir = tree();
    let app = served(&dir, "").await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let request = app.http_request().method(method, "/static/hello.txt");
        let response = request.send().await;
        response.expect_status(405);
        assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    for path in ["/static/hello.txt", "/static/sub/"] {
        let get = app.http_request().get(path).send().await;
        let head = app.http_request().head(path).send().await;
        head.expect_status(200);
        assert_eq!(head.text(), "");
        for name in ["content-length", "content-type", "etag", "last-modified"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
            assert!(head.header(name).is_some(), "{name}");
        }
    }
}

#[tokio::test]
async fn the_first_directory_that_has_it_wins() {
    let dir = tree();
    write(&dir.path().join("own/hello.txt"), "own");
    write(&dir.path().join("own/empty"), "a file here");
    let text = "[[routes]]\ntype = \"static\"\nroute = \"/\"\npath = [\"own\", \"files\"]\n\
                [routes.options]\nindex = \"\"\n";
    let app = configured(&dir, "local", text).await.unwrap();
    let get = |path: &str| app.http_request().get(path).send();
    assert_eq!(get("/hello.txt").await.text(), "own");
    assert_eq!(get("/empty").await.text(), "a file here");
    assert_eq!(get("/sub/page.html").await.text(), "<p>page");
    fs::remove_file(dir.path().join("own/hello.txt")).unwrap();
    assert_eq!(get("/hello.txt").await.text(), "0123456789");
    get("//hello.txt").await.expect_status(404);
}

#[tokio::test]
async fn what_lies_beside_a_file_stands_for_it() {
    let dir = tree();
    let files = dir.path().join("files");
    write(&files.join("app.css"), "plain");
    write(&files.join("app.css.br"), "as br");
    write(&files.join("app.css.gz"), "as gzip");
    fs::create_dir(files.join("app.css.zst")).unwrap();
    let app = served(&dir, "").await;
    let mut tags = Vec::new();
    for (accept, encoding, text) in [
        ("gzip, br, zstd", Some("br"), "as br"),
        ("gzip", Some("gzip"), "as gzip"),
        ("zstd", None, "plain"),
        ("", None, "plain"),
    ] {
        let request = app.http_request().get("/static/app.css");
        let response = request.header("accept-encoding", accept).send().await;
        assert_eq!(response.expect_status(200).text(), text);
        assert_eq!(response.header("content-encoding"), encoding);
        assert_eq!(
            response.header("content-type"),
            Some("text/css; charset=utf-8")
        );
        assert_eq!(response.header("vary"), Some("accept-encoding"));
        tags.push(response.header("etag").unwrap().to_owned());
    }
    assert_eq!(tags[2], tags[3]);
    tags.dedup();
    assert_eq!(tags.len(), 3, "each coding has its own tag: {tags:?}");
    let part = app.http_request().get("/static/app.css");
    let part = part
        .header("accept-encoding", "br")
        .header("range", "bytes=3-");
    assert_eq!(part.send().await.expect_status(206).text(), "br");
    let itself = app.http_request().get("/static/app.css.gz").send().await;
    assert_eq!(itself.header("content-encoding"), None);
    assert_eq!(itself.header("content-type"), Some("application/gzip"));

    let without = served(&dir, "[routes.options]\nprecompressed = false\n").await;
    let request = without.http_request().get("/static/app.css");
    let response = request.header("accept-encoding", "br").send().await;
    assert_eq!(
        (response.text().as_str(), response.header("vary")),
        ("plain", None)
    );
}

#[tokio::test]
async fn hidden_files_and_links_are_a_matter_of_options() {
    let dir = tree();
    let app = served(
        &dir,
        "[routes.options]\ndotfiles = true\nsymlinks = \"follow\"\n",
    )
    .await;
    for path in [".env", "sub/.hidden", "link-out", "link-dir-out/secret.txt"] {
        let response = app
            .http_request()
            .get(format!("/static/{path}"))
            .send()
            .await;
        response.expect_status(200);
    }
    for path in ["../secret.txt", "%2e%2e/secret.txt", ".", ".."] {
        let response = app
            .http_request()
            .get(format!("/static/{path}"))
            .send()
            .await;
        response.expect_status(404);
    }
}

#[tokio::test]
async fn a_large_file_comes_piece_by_piece() {
    let dir = tree();
    let numbers: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    write(&dir.path().join("files/large.bin"), &numbers);
    let app = served(&dir, "").await;
    let whole = app.http_request().get("/static/large.bin").send().await;
    assert!(whole.expect_status(200).body() == &numbers[..]);
    let length = numbers.len().to_string();
    assert_eq!(whole.header("content-length"), Some(&*length));
    let part = app.http_request().get("/static/large.bin");
    let part = part.header("range", "bytes=131071-700000").send().await;
    assert!(part.expect_status(206).body() == &numbers[131_071..=700_000]);
    let nothing = app.http_request().get("/static/large.bin");
    let nothing = nothing.header("range", "bytes=1200000-").send().await;
    nothing.expect_status(416);
}

/// A release replaces a directory, or a link to it, while it is served.
#[tokio::test]
async fn another_directory_may_take_the_place_of_one() {
    let dir = tree();
    write(&dir.path().join("new/hello.txt"), "new");
    fs::rename(dir.path().join("files"), dir.path().join("old")).unwrap();
    symlink("old", dir.path().join("files")).unwrap();
    let app = served_in(&dir, "local", "").await;
    let get = || app.http_request().get("/static/hello.txt").send();
    assert_eq!(get().await.text(), "0123456789");
    fs::remove_file(dir.path().join("files")).unwrap();
    get().await.expect_status(404);
    symlink("new", dir.path().join("files")).unwrap();
    assert_eq!(get().await.text(), "new");
}

/// A file with one coding of it that is large is kept in no coding.
#[tokio::test]
async fn a_large_file_may_have_a_small_one_beside_it() {
    let dir = tree();
    let files = dir.path().join("files");
    write(&files.join("large.txt"), "0123456789".repeat(1000));
    write(&files.join("large.txt.gz"), "as gzip");
    let app = served(&dir, "[routes.options]\nmemory_file = \"1KiB\"\n").await;
    for (accept, length) in [("gzip", 7), ("", 10_000)] {
        let request = app.http_request().get("/static/large.txt");
        let response = request.header("accept-encoding", accept).send().await;
        assert_eq!(response.expect_status(200).body().len(), length);
        assert!(response.header("etag").unwrap().starts_with("W/"));
    }
}

#[tokio::test]
async fn the_routes_are_listed() {
    let dir = tree();
    let app = served_in(&dir, "local", "").await;
    let page = app.http_request().get("/__routes__").send().await.text();
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.contains("/static/"))
        .collect();
    assert_eq!(rows.len(), 2, "{page}");
    assert!(rows[0].starts_with("<tr><td>GET HEAD<td>/static/<td><td><td>files of files<td>"));
    assert!(rows[1].contains("<td>/static/{*path}<td>file<td><td>files of files<td>"));
    assert!(rows[1].ends_with("config/config.default.toml:1:1"));
}
