//! Draining: what is in flight ends, what is idle stays a while.

use super::*;

/// Longer than a test takes: only the next request ends the connection.
const LONG: Duration = Duration::from_hours(1);

fn start_with(gate: &Arc<Semaphore>, idle_grace: Duration) -> Running {
    let (listener, address) = listener();
    start_on(listener, address, limits(), router(gate), idle_grace)
}

#[test]
fn what_is_in_flight_is_finished() {
    let gate = gate();
    let mut running = start_with(&gate, LONG);
    let mut client = running.connect();
    client.send_get("/gate");
    until("the request is in flight", || running.page.in_flight() == 1);
    running.drain(true);
    until("nothing is accepted", || {
        TcpStream::connect(running.address).is_err()
    });
    gate.add_permits(1);
    assert_eq!(client.answer(), last("through"));
    assert!(client.is_closed());
    assert_eq!(running.ended(), Ended::Drained);
    assert!(running.is_quiet());
}

#[test]
fn an_idle_connection_is_told_with_its_next_response() {
    let mut running = start_with(&gate(), LONG);
    let mut client = running.connect();
    assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    running.drain(true);
    until("nothing is accepted", || {
        TcpStream::connect(running.address).is_err()
    });
    assert_eq!(client.get("/hello"), last("Hello, Hatchery"));
    assert!(client.is_closed());
    assert_eq!(running.ended(), Ended::Drained);
}

#[test]
fn idle_and_silent_connections_are_closed_after_the_grace() {
    let mut running = start_with(&gate(), Duration::from_millis(50));
    let mut clients: Vec<_> = (0..20).map(|_| running.connect()).collect();
    for client in clients.iter_mut().take(10) {
        assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    }
    until("all are accepted", || running.page.connections() == 20);
    let start = Instant::now();
    running.drain(true);
    for client in &mut clients {
        assert!(client.is_closed());
    }
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(running.ended(), Ended::Drained);
    assert!(running.is_quiet());
}

#[test]
fn without_a_successor_the_queue_is_served_first() {
    let gate = gate();
    let (listener, address) = listener();
    // As many as wait when the loop has not begun: none of them may be lost.
    let mut waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut client = Client::new(TcpStream::connect(address).unwrap());
            client.send_get("/hello");
            client
        })
        .collect();
    let mut running = start_on(listener, address, limits(), router(&gate), LONG);
    running.drain(false);
    for client in &mut waiting {
        // Whether it was accepted by the drain or just before it.
        assert_eq!(client.answer().body, "Hello, Hatchery");
    }
    drop(waiting);
    assert_eq!(running.ended(), Ended::Drained);
    assert_eq!(running.page.requests_total(), 100);
}

#[test]
fn a_drain_gives_up_at_its_limit() {
    let gate = gate();
    let mut running = start_with(&gate, LONG);
    let mut client = running.connect();
    client.send_get("/gate");
    until("the request is in flight", || running.page.in_flight() == 1);
    running.drain(true);
    running.drain_within(Duration::from_millis(30), true);
    assert_eq!(running.ended(), Ended::Cut(1));
    // What was cut stays in the counts: the master's ledger reads them.
    assert_eq!(running.page.in_flight(), 1);
    assert_eq!(running.page.connections(), 1);
}

#[test]
fn another_listener_is_emptied_and_closed() {
    let running = start_with(&gate(), LONG);
    let (other, address) = listener();
    let mut waiting: Vec<_> = (0..10)
        .map(|_| Client::new(TcpStream::connect(address).unwrap()))
        .collect();
    let (done, count) = std::sync::mpsc::channel();
    let done = Box::new(move |accepted| done.send(accepted).unwrap());
    running
        .orders
        .blocking_send(Order::Adopt {
            listener: other,
            done,
        })
        .ok()
        .unwrap();
    assert_eq!(count.recv().unwrap(), 10);
    for client in &mut waiting {
        assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    }
    assert!(TcpStream::connect(address).is_err());
}
