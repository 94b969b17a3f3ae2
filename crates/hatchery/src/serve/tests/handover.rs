//! Connections are taken out of hyper, and nobody notices.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::post;

use super::super::{Arrival, Detached, Heir};
use super::*;

/// Two serving threads: the first accepts, and gives its connections to the second when it drains.
/// Each answers its name and what was posted.
struct Relay {
    first: Running,
    second: Running,
    given: Arc<AtomicUsize>,
}

fn named(name: &'static str, gate: &Arc<Semaphore>) -> Router {
    router(gate).route(
        "/",
        post(async move |body: String| format!("{name} {body}")),
    )
}

fn relay(gate: &Arc<Semaphore>) -> Relay {
    let first = start(limits(), named("first", gate));
    let second = start(limits(), named("second", gate));
    let given = Arc::new(AtomicUsize::new(0));
    let heir = {
        let (arrivals, given) = (Arc::clone(&second.arrivals), Arc::clone(&given));
        heir(1, move |connection| {
            given.fetch_add(1, Ordering::Relaxed);
            arrivals.push(Arrival::Inherited {
                connection,
                acknowledge: Box::new(|| true),
            });
            Ok(())
        })
    };
    first.order(Order::HandOver(heir));
    Relay {
        first,
        second,
        given,
    }
}

fn heir(
    number: u64,
    take: impl Fn(Detached) -> Result<(), Detached> + Send + Sync + 'static,
) -> Heir {
    Heir {
        number,
        take: Arc::new(take),
    }
}

#[test]
fn an_idle_connection_is_served_on_by_another_driver() {
    let Relay {
        mut first,
        second,
        given,
    } = relay(&gate());
    let mut client = first.connect();
    assert_eq!(client.post("/", "1"), ok("first 1"));
    assert_eq!(client.post("/", "2"), ok("first 2"));
    first.drain(true);
    until("the connection has moved", || {
        second.page.connections() == 1
    });
    assert_eq!(first.page.connections(), 0);
    assert_eq!(client.post("/", "3"), ok("second 3"));
    assert_eq!(client.post("/", "4"), ok("second 4"));
    drop(client);
    assert_eq!(first.ended(), Ended::Drained);
    assert_eq!(given.load(Ordering::Relaxed), 1);
}

#[test]
fn bytes_that_were_read_go_with_the_connection() {
    let Relay {
        mut first, second, ..
    } = relay(&gate());
    let mut client = first.connect();
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nthird";
    // A request and a half in one packet: hyper has read the half when it is taken out.
    let (half, rest) = request.split_at(30);
    client.send(format!("{request}{half}"));
    assert_eq!(client.answer(), ok("first third"));
    first.drain(true);
    until("the connection has moved", || {
        second.page.connections() == 1
    });
    client.send(rest);
    assert_eq!(client.answer(), ok("second third"));
    // Half of it came alone.
    client.send(half);
    client.send(rest);
    assert_eq!(client.answer(), ok("second third"));
    drop(client);
    assert_eq!(first.ended(), Ended::Drained);
}

#[test]
fn a_silent_and_a_barely_begun_connection_move_too() {
    let Relay {
        mut first, second, ..
    } = relay(&gate());
    let mut silent = first.connect();
    let mut begun = first.connect();
    // "PO" is decided, "P" is not: it may be HTTP/2.
    begun.send("P");
    until("both are accepted", || first.page.connections() == 2);
    first.drain(true);
    until("both have moved", || second.page.connections() == 2);
    assert_eq!(silent.post("/", "1"), ok("second 1"));
    begun.send("OST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n2");
    assert_eq!(begun.answer(), ok("second 2"));
    drop((silent, begun));
    assert_eq!(first.ended(), Ended::Drained);
}

#[test]
fn a_busy_connection_moves_when_it_is_answered() {
    let gate = gate();
    let Relay {
        mut first, second, ..
    } = relay(&gate);
    let mut client = first.connect();
    client.send_get("/gate");
    until("the request is in flight", || first.page.in_flight() == 1);
    first.drain(true);
    until("nothing is accepted", || {
        TcpStream::connect(first.address).is_err()
    });
    assert_eq!(second.page.connections(), 0);
    gate.add_permits(1);
    // Its answer does not say that the connection ends, and it does not.
    assert_eq!(client.answer(), ok("through"));
    assert_eq!(client.post("/", "1"), ok("second 1"));
    drop(client);
    assert_eq!(first.ended(), Ended::Drained);
}

#[test]
fn nothing_is_lost_between_requests_at_full_rate() {
    let Relay {
        mut first,
        second,
        given,
    } = relay(&gate());
    let address = first.address;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::new(TcpStream::connect(address).unwrap());
                let mut after = 0;
                for id in 0.. {
                    let answer = client.post("/", &format!("{id}"));
                    assert!(!answer.close, "{answer:?}");
                    match answer.body.split_once(' ') {
                        Some((name, echoed)) if echoed == id.to_string() => {
                            after += usize::from(name == "second");
                        }
                        _ => panic!("{answer:?}"),
                    }
                    if after == 100 {
                        break;
                    }
                }
            })
        })
        .collect();
    until("the first is busy", || first.page.requests_total() > 400);
    first.drain(true);
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(first.ended(), Ended::Drained);
    assert_eq!(given.load(Ordering::Relaxed), 8);
    assert_eq!(second.page.requests_total(), 800);
}

#[test]
fn pipelined_requests_are_all_answered_by_either() {
    const EACH: usize = 2000;
    let Relay {
        mut first, second, ..
    } = relay(&gate());
    let client = TcpStream::connect(first.address).unwrap();
    let mut writer = client.try_clone().unwrap();
    let mut client = Client::new(client);
    // It never stops sending, so that there is no moment without a request under way.
    let sending = std::thread::spawn(move || {
        for id in 0..EACH {
            let id = format!("{id:04}");
            let request = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n{id}");
            writer.write_all(request.as_bytes()).unwrap();
        }
    });
    let mut answered = |id: usize| {
        let answer = client.answer();
        let (name, echoed) = answer.body.split_once(' ').unwrap();
        assert_eq!((echoed, answer.close), (format!("{id:04}").as_str(), false));
        name == "second"
    };
    for id in 0..100 {
        assert!(!answered(id));
    }
    first.drain(true);
    let by_second = (100..EACH).filter(|&id| answered(id)).count();
    sending.join().unwrap();
    // Nobody knows how much the first had read by then, but it has let go in the middle.
    until("the connection has moved", || {
        second.page.connections() == 1
    });
    assert_eq!(
        first.page.requests_total() + second.page.requests_total(),
        EACH as u64
    );
    assert_eq!(second.page.requests_total(), by_second as u64);
    assert_eq!(first.ended(), Ended::Drained);
}

#[test]
fn what_the_heir_does_not_take_is_served_to_its_end() {
    let gate = gate();
    let mut run = start(limits(), router(&gate));
    run.order(Order::HandOver(heir(1, Err)));
    let (mut idle, mut busy) = (run.connect(), run.connect());
    assert_eq!(idle.get("/hello"), ok("Hello, Hatchery"));
    busy.send_get("/gate");
    until("it is in flight", || run.page.in_flight() == 1);
    run.drain(true);
    until("it is known that nobody takes them", || {
        run.page.fallen_back_total() == 2
    });
    gate.add_permits(1);
    assert_eq!(busy.answer(), last("through"));
    assert!(busy.is_closed());
    // It was told in its grace, or its grace was over.
    assert!(idle.is_closed());
    assert_eq!(run.ended(), Ended::Drained);
}

#[test]
fn what_comes_back_is_served_to_its_end() {
    let mut run = start_patient(limits(), router(&gate()));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    run.order(Order::HandOver(heir(1, move |connection| {
        keep.lock().unwrap().push(connection);
        Ok(())
    })));
    let mut client = run.connect();
    assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    run.drain(true);
    until("it was offered", || !kept.lock().unwrap().is_empty());
    // On its way it counts as open, so that the drain does not end.
    assert_eq!(run.page.connections(), 1);
    run.order(Order::GiveUp(1));
    let connection = kept.lock().unwrap().pop().unwrap();
    run.arrivals.push(Arrival::Returned(connection));
    client.send_get("/hello");
    assert_eq!(client.answer(), last("Hello, Hatchery"));
    assert!(client.is_closed());
    assert_eq!(run.ended(), Ended::Drained);
}

#[test]
fn another_heir_takes_what_the_first_did_not() {
    let gate = gate();
    let mut run = start_patient(limits(), router(&gate));
    let second = start(limits(), named("second", &gate));
    run.order(Order::HandOver(heir(1, Err)));
    let mut client = run.connect();
    assert_eq!(client.get("/hello"), ok("Hello, Hatchery"));
    run.drain(true);
    until("nobody takes it", || run.page.fallen_back_total() == 1);
    let arrivals = Arc::clone(&second.arrivals);
    run.order(Order::HandOver(heir(2, move |connection| {
        arrivals.push(Arrival::Inherited {
            connection,
            acknowledge: Box::new(|| true),
        });
        Ok(())
    })));
    // The first one's end is of no interest any more.
    run.order(Order::GiveUp(1));
    assert_eq!(run.ended(), Ended::Drained);
    assert_eq!(client.post("/", "1"), ok("second 1"));
    assert_eq!(second.page.inherited_total(), 1);
}

#[test]
fn what_cannot_be_acknowledged_is_not_touched() {
    let run = start(limits(), router(&gate()));
    let (mut client, server) = std::os::unix::net::UnixStream::pair().unwrap();
    let mine = server.try_clone().unwrap();
    client
        .write_all(b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    run.arrivals.push(Arrival::Inherited {
        connection: Detached::new(super::super::Socket::Unix(server), bytes::Bytes::new()),
        acknowledge: Box::new(|| false),
    });
    until("it was looked at", || run.arrivals.is_empty());
    let mut client2 = run.connect();
    assert_eq!(client2.get("/hello"), ok("Hello, Hatchery"));
    assert_eq!(run.page.inherited_total(), 0);
    // Every byte is still there.
    let mut request = [0; 64];
    let length = (&mine).read(&mut request).unwrap();
    assert!(request[..length].starts_with(b"GET /hello"));
}
