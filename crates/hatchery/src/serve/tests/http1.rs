//! HTTP/1.1 over real sockets.

use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

#[test]
fn a_connection_serves_many_requests() {
    let running = start(limits(), router(&gate()));
    let mut client = running.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    }
    assert_eq!(client.get("/users/7"), ok("7"));
    assert_eq!(client.get("/nothing").status, 404);
    assert_eq!(client.post("/echo", "there and back"), ok("there and back"));
    assert_eq!(client.post("/ignore", "not read"), ok("ignored"));
    assert_eq!(running.page.connections(), 1);
    assert_eq!(running.page.requests_total(), 7);
    drop(client);
    until("all counts go back to 0", || running.is_quiet());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let running = start(limits(), router(&gate()));
    let mut client = running.connect();
    let request = |id: usize| format!("GET /users/{id} HTTP/1.1\r\nHost: h\r\n\r\n");
    let requests = (0..50).map(request).collect::<Vec<_>>().concat();
    // The last request is not complete: the ones before must not wait for its rest.
    let (most, rest) = requests.split_at(requests.len() - 10);
    client.send(most);
    for id in 0..49 {
        assert_eq!(client.answer(), ok(&id.to_string()));
    }
    client.send(rest);
    assert_eq!(client.answer(), ok("49"));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let running = start(limits(), router(&gate()));
    let mut client = running.connect();
    for _ in 0..2 {
        // "P" and "PR" could be the beginning of HTTP/2.
        for byte in b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi" {
            client.send([*byte]);
        }
        assert_eq!(client.answer(), ok("hi"));
    }
}

#[test]
fn a_panic_is_answered_500_and_the_connection_goes_on() {
    let running = start(limits(), router(&gate()));
    let mut client = running.connect();
    let expected = Answer {
        status: 500,
        close: false,
        body: "Internal Server Error".into(),
    };
    assert_eq!(client.get("/panic"), expected);
    assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    assert_eq!(client.get("/panic"), expected);
    until("no request is in flight", || running.page.in_flight() == 0);
}

#[test]
fn a_request_is_in_flight_until_it_is_answered_or_abandoned() {
    let gate = gate();
    let running = start(limits(), router(&gate));
    let mut first = running.connect();
    let mut second = running.connect();
    first.send_get("/gate");
    second.send_get("/gate");
    until("both are in flight", || running.page.in_flight() == 2);
    drop(second);
    until("the abandoned one is not", || running.page.in_flight() == 1);
    gate.add_permits(1);
    assert_eq!(first.answer(), ok("through"));
    until("nothing is in flight", || running.page.in_flight() == 0);
}

#[test]
fn unix_sockets_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let nowhere = "127.0.0.1:0".parse().unwrap();
    let running = start_on(
        listener.into(),
        nowhere,
        limits(),
        router(&gate()),
        Duration::ZERO,
    );
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::new(stream);
    assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    assert_eq!(running.page.connections(), 1);
}

#[test]
fn rubbish_is_refused() {
    let running = start(limits(), router(&gate()));
    let mut client = running.connect();
    client.send("\0\0\0 rubbish\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert!(client.is_closed());
    until("all counts go back to 0", || running.is_quiet());
}

#[test]
fn the_client_may_ask_for_the_close() {
    let running = start(limits(), router(&gate()));
    let mut client = running.connect();
    client.send("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer(), last("Hello, Hatchery"));
    assert!(client.is_closed());
    let mut client = running.connect();
    client.send("GET /hello HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().body, "Hello, Hatchery");
    assert!(client.is_closed());
}

#[test]
fn an_upgraded_connection_stays_open_and_counts() {
    let upgrade = get(async |request: axum::extract::Request| {
        let upgraded = hyper::upgrade::on(request);
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
            let mut bytes = [0; 4];
            tokio::io::AsyncReadExt::read_exact(&mut io, &mut bytes)
                .await
                .unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut io, &bytes)
                .await
                .unwrap();
        });
        let headers = [("connection", "upgrade"), ("upgrade", "echo")];
        (http::StatusCode::SWITCHING_PROTOCOLS, headers)
    });
    let mut running = start(limits(), Router::new().route("/", upgrade));
    let mut client = running.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.answer().status, 101);
    until("the request is over", || running.page.in_flight() == 0);
    running.drain(true);
    assert_eq!(running.page.connections(), 1);
    client.send("ping");
    let mut bytes = [0; 4];
    client.stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
    assert!(client.is_closed());
    assert_eq!(running.ended(), Ended::Drained);
    assert!(running.is_quiet());
}
