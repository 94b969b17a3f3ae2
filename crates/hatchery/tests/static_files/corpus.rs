//! Hostile paths and ranges, from files.

use hatchery::http::Uri;

use crate::support::{SECRET, served, tree};

const PATHS: &str = include_str!("../corpus/hostile_paths.txt");
const RANGES: &str = include_str!("../corpus/ranges.txt");

/// The lines that say something.
fn lines(corpus: &str) -> impl Iterator<Item = &str> {
    let lines = corpus.lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// With `\xNN` as that byte.
fn bytes(line: &str) -> Vec<u8> {
    let mut parts = line.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(byte, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

#[tokio::test]
async fn no_path_leads_out() {
    let dir = tree();
    let pipe = rustix::fs::FileType::Fifo;
    let at = dir.path().join("files/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, at, pipe, rustix::fs::Mode::RWXU, 0).unwrap();
    for options in [
        "",
        "[routes.options]\nsymlinks = \"never\"\nmemory = \"0\"\nmemory_file = \"0\"\n",
    ] {
        let app = served(&dir, options).await;
        let mut asked = 0;
        for line in lines(PATHS) {
            let mut path = b"/static/".to_vec();
            path.extend(bytes(line));
            // The others are no paths for HTTP either: the showcase's tests send them.
            let Ok(uri) = Uri::try_from(path) else {
                continue;
            };
            let response = app.http_request().get(uri.to_string()).send().await;
            assert_eq!(response.status(), 404, "{line}");
            assert!(!response.text().contains(SECRET), "{line}");
            asked += 1;
        }
        assert!(asked > 90, "{asked}");
    }
}

#[tokio::test]
async fn ranges_are_what_the_rfc_says() {
    let dir = tree();
    // From memory, and piece by piece.
    for options in ["", "[routes.options]\nmemory_file = \"0\"\n"] {
        let app = served(&dir, options).await;
        for line in lines(RANGES) {
            let (range, expected) = line.split_once(" => ").unwrap();
            let request = app.http_request().get("/static/hello.txt");
            let response = request.header("range", range).send().await;
            let told = response.header("content-range");
            match expected {
                "whole" => {
                    assert_eq!((response.status().as_u16(), told), (200, None), "{line}");
                    assert_eq!(response.text(), "0123456789", "{line}");
                }
                "none" => {
                    assert_eq!(response.status(), 416, "{line}");
                    assert_eq!(told, Some("bytes */10"), "{line}");
                }
                part => {
                    assert_eq!(response.status(), 206, "{line}");
                    assert_eq!(response.text(), part, "{line}");
                    let (first, last) = (&part[..1], &part[part.len() - 1..]);
                    assert_eq!(told, Some(&*format!("bytes {first}-{last}/10")), "{line}");
                    let length = part.len().to_string();
                    assert_eq!(response.header("content-length"), Some(&*length));
                }
            }
            let head = app.http_request().head("/static/hello.txt");
            let head = head.header("range", range).send().await;
            assert_eq!(head.status(), 200, "a HEAD has no ranges: {line}");
        }
        let twice = app.http_request().get("/static/hello.txt");
        let twice = twice
            .header("range", "bytes=0-1")
            .header("range", "bytes=2-3");
        twice.send().await.expect_status(200);
    }
}
