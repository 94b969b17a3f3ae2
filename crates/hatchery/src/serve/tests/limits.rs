//! Time-outs and caps.

use super::*;

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn a_header_that_does_not_end_is_cut() {
    let running = start(
        Limits {
            header_timeout: SHORT,
            ..limits()
        },
        router(&gate()),
    );
    let mut silent = running.connect();
    let mut slow = running.connect();
    slow.send("GET /hello HT");
    let mut second = running.connect();
    assert_eq!(second.get("/hello"), ok("Hello, Hatchery"));
    second.send("GET /hello HT");
    let mut sniffed = running.connect();
    sniffed.send("PRI * HT");
    for client in [&mut silent, &mut slow, &mut second, &mut sniffed] {
        assert!(client.is_closed());
    }
    until("all counts go back to 0", || running.is_quiet());
}

#[test]
fn a_handler_may_take_longer_than_a_header() {
    let gate = gate();
    let limits = Limits {
        header_timeout: SHORT,
        keep_alive_timeout: SHORT,
        ..limits()
    };
    let running = start(limits, router(&gate));
    let mut client = running.connect();
    client.send_get("/gate");
    // The second client outlives both time-outs, and the first is still there after it.
    let mut other = running.connect();
    assert!(other.is_closed());
    gate.add_permits(1);
    assert_eq!(client.answer(), ok("through"));
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let running = start(
        Limits {
            keep_alive_timeout: SHORT,
            ..limits()
        },
        router(&gate()),
    );
    let mut client = running.connect();
    assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    let start = Instant::now();
    assert!(client.is_closed());
    // One tick less, as its clock is no finer.
    assert!(start.elapsed() > SHORT.saturating_sub(Duration::from_millis(15)));
    until("all counts go back to 0", || running.is_quiet());
}

#[test]
fn clients_beyond_the_limit_wait_for_a_place() {
    let running = start(
        Limits {
            max_connections: 2,
            ..limits()
        },
        router(&gate()),
    );
    let mut first = running.connect();
    let mut second = running.connect();
    assert_eq!(first.get("/hello"), ok("Hello, Hatchery"));
    assert_eq!(second.get("/hello"), ok("Hello, Hatchery"));
    let mut third = running.connect();
    third.send_get("/hello");
    // Another request on a served connection comes back, so the loop has turned since.
    let before = running.page.ticks()[3];
    until("the loop turns", || running.page.ticks()[3] > before + 20);
    assert_eq!(first.get("/hello"), ok("Hello, Hatchery"));
    assert_eq!(running.page.connections(), 2);
    drop(second);
    assert_eq!(third.answer(), ok("Hello, Hatchery"));
}

#[test]
fn a_header_has_a_longest_and_a_widest() {
    let small = Limits {
        max_header_bytes: 8 * 1024,
        max_headers: 10,
        ..limits()
    };
    let running = start(small, router(&gate()));
    let mut client = running.connect();
    client.send(format!(
        "GET /hello HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    ));
    assert_eq!(client.answer().status, 431);
    let mut client = running.connect();
    client.send(format!(
        "GET /hello HTTP/1.1\r\nHost: h\r\n{}\r\n",
        "X: 1\r\n".repeat(11)
    ));
    assert_eq!(client.answer().status, 431);
}

#[test]
fn a_body_over_the_limit_is_answered_413_even_while_it_is_sent() {
    let running = start(
        Limits {
            body_limit: 1000,
            ..limits()
        },
        router(&gate()),
    );
    let mut client = running.connect();
    assert_eq!(client.post("/echo", &"x".repeat(1000)).status, 200);
    assert_eq!(client.post("/echo", &"x".repeat(1001)).status, 413);
    // More than the sockets' buffers hold: it is thrown away, so that the answer arrives.
    let mut client = running.connect();
    assert_eq!(client.post("/echo", &"x".repeat(4_000_000)).status, 413);
    until("all counts go back to 0", || {
        running.page.in_flight() == 0 && running.page.connections() <= 2
    });
}

#[test]
fn the_loop_ticks_under_its_own_number() {
    let running = start(limits(), router(&gate()));
    until("the loop ticks", || running.page.ticks()[3] > 0);
    let first = running.page.ticks()[3];
    until("the loop ticks again", || running.page.ticks()[3] > first);
    assert_eq!(running.page.ticks()[0], 0);
}
