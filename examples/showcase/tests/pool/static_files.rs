//! Static files of a real pool, asked over raw sockets: clients' libraries would put many of these
//! paths right.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Cluster, Connection, REQUEST_LIMIT, Request, showcase};

const PATHS: &str = include_str!("../../../../crates/hatchery/tests/corpus/hostile_paths.txt");

const SECRET: &str = "the secret";

/// With the configuration and the files of the showcase.
fn one_worker() -> Cluster {
    let files = env!("CARGO_MANIFEST_DIR");
    showcase().files(files).set("cluster.workers", 1).start()
}

/// A line of the corpus, with `\xNN` as that byte.
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

#[test]
fn no_path_over_the_wire_leads_out() {
    let pool = one_worker();
    let base = pool.base().to_owned();
    let files = base.join("static");
    fs::create_dir_all(files.join("sub")).unwrap();
    for name in ["secret.txt", "static/.env", "static/sub/.hidden"] {
        fs::write(base.join(name), SECRET).unwrap();
    }
    fs::write(files.join("hello.txt"), "hello").unwrap();
    symlink("../secret.txt", files.join("link-out")).unwrap();
    symlink("..", files.join("link-dir-out")).unwrap();
    symlink("/", files.join("link-root")).unwrap();
    symlink("/proc/self", files.join("link-proc")).unwrap();
    assert_eq!(pool.get("/static/hello.txt").text(), "hello");

    let lines = PATHS.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut refused = 0;
    for line in lines {
        let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
        let mut request = b"GET /static/".to_vec();
        request.extend(bytes(line));
        request.extend(b" HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        connection.send_bytes(&request).unwrap();
        let response = connection.receive(REQUEST_LIMIT).unwrap();
        assert!(
            matches!(response.status, 400 | 404),
            "{} for {line}",
            response.status
        );
        assert!(!response.text().contains(SECRET), "{line}");
        refused += usize::from(response.status == 400);
    }
    // What is no request at all; the rest has a path, and nothing there.
    assert!((1..10).contains(&refused), "{refused}");
}

#[test]
fn what_a_client_has_it_gets_no_second_time() {
    let pool = one_worker();
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    let mut ask = |request: Request| connection.request(&request, REQUEST_LIMIT).unwrap();
    let whole = ask(Request::get("/static/style.css"));
    assert_eq!(whole.status, 200);
    let etag = whole.header("etag").unwrap();
    let again = ask(Request::get("/static/style.css").header("if-none-match", etag));
    assert_eq!((again.status, again.body.len()), (304, 0));
    let request = Request::get("/static/style.css").header("range", "bytes=-5");
    let part = ask(request.header("if-range", etag));
    assert_eq!(part.status, 206);
    assert_eq!(part.body, whole.body[whole.body.len() - 5..]);
    let beyond = ask(Request::get("/static/style.css").header("range", "bytes=999999-"));
    assert_eq!(beyond.status, 416);

    // More than a socket takes at once, from a file that no memory holds.
    let numbers: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(pool.base().join("static/numbers.bin"), &numbers).unwrap();
    let large = ask(Request::get("/static/numbers.bin"));
    assert!(large.status == 200 && large.body == numbers);
    assert_eq!(ask(Request::get("/static/")).status, 200);
}
