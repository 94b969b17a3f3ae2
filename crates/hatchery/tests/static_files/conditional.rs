//! Conditional requests, in the order of RFC 9110, 13.2.2.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::support::{served, tree, write};

/// When the file has changed last.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const SECONDS: u64 = 784_111_777;

#[tokio::test]
async fn conditions_have_their_order() {
    let dir = tree();
    let file = File::options()
        .write(true)
        .open(dir.path().join("files/hello.txt"))
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(SECONDS))
        .unwrap();
    let app = served(&dir, "").await;
    let first = app.http_request().get("/static/hello.txt").send().await;
    let etag = first.header("etag").unwrap();
    assert!(etag.starts_with('"'), "{etag}");
    assert_eq!(first.header("last-modified"), Some(DATE));
    let weak = format!("W/{etag}");
    let list = format!("\"a,b\" , W/\"c\",{etag}");
    let (weak, list) = (weak.as_str(), list.as_str());
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("if-none-match", etag)], 304),
        (&[("if-none-match", weak)], 304),
        (&[("if-none-match", list)], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"other\"")], 200),
        (&[("if-none-match", "other")], 200),
        (&[("if-none-match", "\"")], 200),
        (
            &[("if-none-match", "\"other\""), ("if-none-match", etag)],
            304,
        ),
        (&[("if-modified-since", DATE)], 304),
        (&[("if-modified-since", AFTER)], 304),
        (&[("if-modified-since", BEFORE)], 200),
        (&[("if-modified-since", "yesterday")], 200),
        // A tag counts more than a date.
        (
            &[("if-none-match", "\"other\""), ("if-modified-since", AFTER)],
            200,
        ),
        (
            &[("if-none-match", etag), ("if-modified-since", BEFORE)],
            304,
        ),
        (&[("if-match", etag)], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", list)], 200),
        (&[("if-match", weak)], 412),
        (&[("if-match", "\"other\"")], 412),
        (&[("if-unmodified-since", DATE)], 200),
        (&[("if-unmodified-since", BEFORE)], 412),
        (&[("if-unmodified-since", "yesterday")], 200),
        (&[("if-match", etag), ("if-unmodified-since", BEFORE)], 200),
        // What must not be fails before what need not be sent.
        (&[("if-match", "\"other\""), ("if-none-match", etag)], 412),
        (&[("if-match", etag), ("if-none-match", etag)], 304),
        // Ranges come last.
        (&[("range", "bytes=0-1"), ("if-none-match", etag)], 304),
        (&[("range", "bytes=99-"), ("if-match", "\"other\"")], 412),
        (&[("range", "bytes=0-1"), ("if-range", etag)], 206),
        (&[("range", "bytes=0-1"), ("if-range", weak)], 200),
        (&[("range", "bytes=0-1"), ("if-range", "\"other\"")], 200),
        (&[("range", "bytes=0-1"), ("if-range", DATE)], 206),
        (&[("range", "bytes=0-1"), ("if-range", BEFORE)], 200),
        (&[("range", "bytes=0-1"), ("if-range", AFTER)], 200),
        (&[("range", "bytes=0-1"), ("if-range", "yesterday")], 200),
        (&[("range", "bytes=99-"), ("if-range", "\"other\"")], 200),
    ];
    for (headers, status) in cases {
        let mut request = app.http_request().get("/static/hello.txt");
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await;
        assert_eq!(response.status().as_u16(), *status, "{headers:?}");
        if *status == 304 {
            assert_eq!(response.header("etag"), Some(etag));
            assert_eq!(response.header("cache-control"), Some("no-cache"));
            assert_eq!(
                (response.header("content-type"), response.text().as_str()),
                (None, "")
            );
        }
    }
}

/// A tag of content is that of equal content, on every machine; one of size and time is not.
#[tokio::test]
async fn a_small_files_tag_is_that_of_its_content() {
    let dir = tree();
    write(&dir.path().join("files/copy.txt"), "0123456789");
    let small = served(&dir, "").await;
    let large = served(&dir, "[routes.options]\nmemory_file = \"0\"\n").await;
    let tag = async |app: &hatchery::testing::TestApp, name: &str| {
        let response = app
            .http_request()
            .get(format!("/static/{name}"))
            .send()
            .await;
        response.header("etag").unwrap().to_owned()
    };
    assert_eq!(
        tag(&small, "hello.txt").await,
        tag(&small, "copy.txt").await
    );
    // They have been written just now, and could be again without another time.
    let young = tag(&large, "hello.txt").await;
    assert!(young.starts_with("W/\"a-"), "{young}");
    let request = large.http_request().get("/static/hello.txt");
    let request = request
        .header("range", "bytes=0-1")
        .header("if-range", &*young);
    request.send().await.expect_status(200);
    let request = large.http_request().get("/static/hello.txt");
    request
        .header("if-none-match", &*young)
        .send()
        .await
        .expect_status(304);
}
