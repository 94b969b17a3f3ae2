//! What the workers serve, and how they speak HTTP.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Cluster, Connection, FailureKind, REQUEST_LIMIT, Request, SOON, showcase, wait_until,
};

fn one_worker() -> Cluster {
    showcase().set("cluster.workers", 1).start()
}

#[test]
fn the_routes_answer() {
    let pool = one_worker();
    let hello = pool.ask(&Request::get("/hello"));
    assert_eq!(
        (hello.status, hello.text().as_str()),
        (200, "Hello, Hatchery")
    );
    assert!(
        hello
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );

    let message = pool.ask(&Request::get("/json"));
    assert_eq!(message.text(), r#"{"message":"Hello, World!"}"#);
    assert_eq!(message.header("content-type"), Some("application/json"));

    let user = pool.ask(&Request::get("/users/a%20%22b%22"));
    assert_eq!(user.json(), json!({ "id": "a \"b\"" }));

    let worker = pool.status().worker(0).unwrap().clone();
    let whoami = pool.ask(&Request::get("/whoami")).json();
    let expected = json!({
        "pid": worker.pid, "slot": 0, "instance": worker.instance, "generation": 1,
    });
    assert_eq!(whoami, expected);

    let page = pool.ask(&Request::get("/"));
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(
        page.text().contains(&format!(">{}<", worker.pid)),
        "it shows who answered"
    );
    assert!(!page.text().contains("{{"), "nothing is left to fill in");
    assert!(!page.text().contains("://"), "nothing comes from elsewhere");

    assert_eq!(pool.ask(&Request::get("/nowhere")).status, 404);
    assert_eq!(pool.ask(&Request::post("/hello", "")).status, 405);
    assert_eq!(pool.ask(&Request::get("/slow")).status, 400);
    let began = Instant::now();
    assert_eq!(pool.ask(&Request::get("/slow?ms=300")).status, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn echo_returns_json_and_refuses_everything_else() {
    let pool = showcase()
        .set("cluster.workers", 1)
        .set("http.body_limit", "1MiB")
        .start();
    let body = r#"{"a":[1,2.5,null],"b":"ü"}"#;
    let echo = pool.ask(&Request::post("/echo", body));
    assert_eq!((echo.status, echo.text().as_str()), (200, body));
    assert_eq!(echo.header("content-type"), Some("application/json"));
    for bad in ["", "{", "nope", "{\"a\":1}x", &"[".repeat(10_000)] {
        assert_eq!(
            pool.ask(&Request::post("/echo", bad)).status,
            400,
            "{bad:.20}"
        );
    }
    let limit = 1 << 20;
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    assert_eq!(pool.ask(&Request::post("/echo", text(limit))).status, 200);
    assert_eq!(
        pool.ask(&Request::post("/echo", text(limit + 1))).status,
        413
    );
}

#[test]
fn faults_are_only_there_when_they_are_wanted() {
    let pool = showcase()
        .set("cluster.workers", 1)
        .set("showcase.faults", false)
        .start();
    for fault in [
        "panic",
        "abort",
        "exit",
        "segv",
        "spin",
        "block",
        "leak?mb=1",
    ] {
        let request = Request::post(format!("/faults/{fault}"), "");
        assert_eq!(pool.ask(&request).status, 404, "{fault}");
    }
}

#[test]
fn a_connection_is_kept_and_its_requests_are_answered_in_order() {
    let pool = one_worker();
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    for id in 0..50 {
        connection
            .send(&Request::get(format!("/users/{id}")))
            .unwrap();
    }
    for id in 0..50 {
        let user = connection.receive(REQUEST_LIMIT).unwrap();
        assert_eq!(user.json(), json!({ "id": id.to_string() }));
        assert!(!user.closes());
    }
    assert_eq!(pool.status().worker(0).unwrap().connections, 1);
    let last = connection
        .request(&Request::get("/hello").close(), REQUEST_LIMIT)
        .unwrap();
    assert!(last.closes());
    wait_until("it is closed", SOON, || connection.is_closed());
}

#[test]
fn a_body_may_come_in_chunks_and_after_a_question() {
    let pool = one_worker();
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    let chunked = "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
                   3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
    connection.send_bytes(chunked.as_bytes()).unwrap();
    assert_eq!(connection.receive(REQUEST_LIMIT).unwrap().text(), "[1,2]");
    let asked = "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
                 content-length: 3\r\n\r\n";
    connection.send_bytes(asked.as_bytes()).unwrap();
    connection.send_bytes(b"[3]").unwrap();
    assert_eq!(connection.receive(REQUEST_LIMIT).unwrap().text(), "[3]");
}

#[test]
fn rubbish_is_answered_with_400_and_harms_nobody() {
    let pool = one_worker();
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    connection
        .send_bytes(b"\x16\x03\x01 what is this\r\n\r\n")
        .unwrap();
    let answer = connection.receive(REQUEST_LIMIT);
    assert!(answer.is_err() || answer.unwrap().status == 400);
    assert_eq!(pool.ask(&Request::get("/hello")).status, 200);
}

#[test]
fn a_header_that_does_not_come_to_an_end_is_not_waited_for() {
    let pool = showcase()
        .set("cluster.workers", 1)
        .set("http.header_timeout", "500ms")
        .set("http.keep_alive_timeout", "60s")
        .start();
    let mut connections: Vec<Connection> = (0..3)
        .map(|_| Connection::open(&pool.target(), REQUEST_LIMIT).unwrap())
        .collect();
    // Nothing at all, the beginning of a first header, the beginning of a second one.
    connections[1]
        .send_bytes(b"GET /hello HTTP/1.1\r\nho")
        .unwrap();
    let answer = connections[2].request(&Request::get("/hello"), REQUEST_LIMIT);
    assert_eq!(answer.unwrap().status, 200);
    connections[2]
        .send_bytes(b"GET /hello HTTP/1.1\r\n")
        .unwrap();
    let began = Instant::now();
    for connection in &mut connections {
        // A 408 before the end is fine.
        let _ = connection.receive(REQUEST_LIMIT);
        wait_until("it is closed", SOON, || connection.is_closed());
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn an_idle_connection_is_closed_in_the_end() {
    let pool = showcase()
        .set("cluster.workers", 1)
        .set("http.keep_alive_timeout", "500ms")
        .start();
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    let answer = connection.request(&Request::get("/hello"), REQUEST_LIMIT);
    assert_eq!(answer.unwrap().status, 200);
    wait_until("it is closed", SOON, || connection.is_closed());
}

#[test]
fn connections_beyond_the_cap_wait_for_their_turn() {
    let pool = showcase()
        .set("cluster.workers", 1)
        .set("http.max_connections", 2)
        .start();
    let open = || {
        let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
        connection.send(&Request::get("/hello")).unwrap();
        connection
    };
    let mut held = [open(), open()];
    for connection in &mut held {
        assert_eq!(connection.receive(REQUEST_LIMIT).unwrap().status, 200);
    }
    let mut third = open();
    let early = third.receive(Duration::from_millis(300)).unwrap_err();
    assert_eq!(early.kind, FailureKind::Timeout);
    assert_eq!(pool.status().worker(0).unwrap().connections, 2);
    drop(held);
    assert_eq!(third.receive(REQUEST_LIMIT).unwrap().status, 200);
}

/// What Nagle's algorithm and delayed acknowledgements do to each other costs 40 ms a request.
#[test]
fn small_answers_are_not_held_back() {
    let pool = one_worker();
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    let mut took: Vec<Duration> = (0..51)
        .map(|number| {
            let path = ["/", "/hello", "/json"][number % 3];
            let began = Instant::now();
            let answer = connection
                .request(&Request::get(path), REQUEST_LIMIT)
                .unwrap();
            assert_eq!(answer.status, 200);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    assert!(
        took[25] < Duration::from_millis(30),
        "median {:?}",
        took[25]
    );
}

#[test]
fn http2_is_spoken_to_those_who_know() {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const DATA: u8 = 0;
    let pool = one_worker();
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    connection
        .send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    connection
        .send_bytes(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])
        .unwrap();
    // Stream 1, END_STREAM and END_HEADERS: GET, http, path "/hello", authority "x", all from the
    // static table or as literals without an index.
    let mut block = vec![0x82, 0x86, 0x04, 6];
    block.extend(b"/hello");
    block.extend([0x01, 1, b'x']);
    let length = u8::try_from(block.len()).unwrap();
    connection
        .send_bytes(&[0, 0, length, HEADERS, 0x05, 0, 0, 0, 1])
        .unwrap();
    connection.send_bytes(&block).unwrap();

    let (mut ok, mut body) = (false, Vec::new());
    while !body.ends_with(b"Hatchery") {
        let head = connection.receive_bytes(9, REQUEST_LIMIT).unwrap();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = connection.receive_bytes(length, REQUEST_LIMIT).unwrap();
        match head[3] {
            // 0x88 is ":status: 200" of the static table.
            HEADERS => ok = payload.first() == Some(&0x88),
            DATA => body.extend(payload),
            _ => {}
        }
    }
    assert!(ok, "the status is 200");
    assert_eq!(body, b"Hello, Hatchery");
}
