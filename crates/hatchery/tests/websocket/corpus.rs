//! What clients may say and what not, from files.

use std::fs;
use std::path::Path;

use crate::pool;
use crate::raw::{Frame, Raw};

/// The files of one kind, by their names.
fn files(kind: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/websocket");
    let mut files: Vec<_> = fs::read_dir(directory.join(kind))
        .expect("the corpus")
        .map(|file| file.expect("a file").path())
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).expect("a text"),
            )
        })
        .collect();
    files.sort();
    assert!(files.len() > 20);
    files
}

/// Each frame of the files is answered as they say, and nothing else is noticed of it.
pub(crate) fn frames() {
    let mut cluster = pool(1).start();
    for (name, text) in files("frames") {
        let mut raw = Raw::open(cluster.port(), "/echo");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(bytes) = line.strip_prefix("send ") {
                raw.send(&parse(bytes));
                continue;
            }
            let wanted = line.strip_prefix("expect ").expect("`send` or `expect`");
            let (kind, rest) = wanted.split_once(' ').unwrap_or((wanted, ""));
            let frame = raw.frame();
            let wanted = match kind {
                "text" => Frame::Text(rest.to_owned()),
                "binary" => Frame::Binary(vec![0x42; rest.parse().expect("a length")]),
                "pong" => Frame::Pong(parse_hex(rest)),
                "close" => Frame::Close(rest.parse().ok()),
                "end" => Frame::End,
                other => panic!("{name}: unknown `{other}`"),
            };
            assert_eq!(frame, wanted, "{name}");
        }
    }
    assert_eq!(cluster.get("/hello").status, 200);
    cluster.wait_until(|_| cluster.get("/count").text() == "0");
    cluster.stop();
}

/// Pairs of digits; `41*3` is three times 0x41.
fn parse(text: &str) -> Vec<u8> {
    let token = |token: &str| match token.split_once('*') {
        Some((byte, count)) => parse_hex(byte).repeat(count.parse().expect("a number")),
        None => parse_hex(token),
    };
    text.split_whitespace().flat_map(token).collect()
}

fn parse_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Each handshake of the files has the status that they say.
pub(crate) fn handshakes() {
    let mut cluster = pool(1).start();
    let host = format!("127.0.0.1:{}", cluster.port());
    for (name, text) in files("handshakes") {
        let mut lines = text.lines();
        let wanted = lines.by_ref().nth(1).expect("a status");
        let wanted = wanted.trim_start_matches("# ");
        let mut raw = Raw::connect(cluster.port());
        let mut request = lines.collect::<Vec<_>>().join("\r\n");
        request.push_str("\r\n\r\n");
        raw.send(request.replace("{host}", &host).as_bytes());
        let head = raw.head();
        assert_eq!(head.split(' ').nth(1), Some(wanted), "{name}: {head}");
        if wanted == "426" && !name.contains("http_1_0") {
            assert!(
                head.contains("\r\nupgrade: websocket\r\n"),
                "{name}: {head}"
            );
        }
        if wanted == "101" {
            raw.text("a");
            assert_eq!(raw.frame(), Frame::Text("a".to_owned()), "{name}");
        }
    }
    cluster.stop();
}

/// A handshake that does not end is a request that does not end: it has its time, and no more.
pub(crate) fn half_a_handshake() {
    let mut cluster = pool(1).set("http.header_timeout", "300ms").start();
    let mut raw = Raw::connect(cluster.port());
    let handshake = crate::raw::handshake("/echo", "");
    raw.send(&handshake.as_bytes()[..handshake.len() / 2]);
    assert_eq!(raw.frame(), Frame::End);
    // What comes with the handshake is read after it.
    let mut raw = Raw::connect(cluster.port());
    raw.send(&[handshake.as_bytes(), &[0x81, 0x81, 0, 0, 0, 0, b'a']].concat());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.frame(), Frame::Text("a".to_owned()));
    // Gone without a word.
    drop(raw);
    cluster.wait_until(|_| cluster.get("/count").text() == "0");
    cluster.stop();
}
