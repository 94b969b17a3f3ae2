//! Connections are taken out of hyper, and nobody notices.

use std::cell::Cell;
use std::rc::Rc;

use axum::routing::post;

use super::super::connection::{Common, Heir};
use super::super::state::Thread;
use super::*;

/// Two drivers on one thread: the first accepts, and gives its connections to the second when it
/// drains. Each answers its name and what was posted. The thread ends when the second has no
/// connection left; it returns how many the first has given away.
struct Relay {
    first: Running,
    second: Arc<StatsPage>,
    given: std::sync::mpsc::Receiver<usize>,
}

fn named(name: &'static str, gate: &Arc<Semaphore>) -> Router {
    router(gate).route(
        "/",
        post(async move |body: String| format!("{name} {body}")),
    )
}

fn relay(gate: &Arc<Semaphore>) -> Relay {
    let (listener, address) = listener();
    let pages = [
        StatsPage::create().unwrap().0,
        StatsPage::create().unwrap().0,
    ]
    .map(Arc::new);
    let [page, second] = pages.clone();
    let (orders, inbox) = mpsc::channel(8);
    let (give, given) = std::sync::mpsc::channel();
    let routers = [named("first", gate), named("second", gate)];
    let thread = std::thread::spawn(move || {
        local(async move {
            let (ended, count) = serve_and_hand_over(listener, pages, routers, inbox).await;
            // Not every test asks.
            let _ = give.send(count);
            ended
        })
    });
    Relay {
        first: Running {
            address,
            page,
            pressure: MemoryPressure::new().0,
            recorder: recorder(),
            orders,
            thread: Some(thread),
        },
        second,
        given,
    }
}

async fn serve_and_hand_over(
    listener: OwnedFd,
    [first_page, second_page]: [Arc<StatsPage>; 2],
    [first_router, second_router]: [Router; 2],
    orders: mpsc::Receiver<Order>,
) -> (Ended, usize) {
    let thread = Thread::new(0, second_page, recorder());
    let second = Rc::new(Common::new(
        &limits(),
        second_router,
        Arc::clone(&thread),
        None,
    ));
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    let heir: Heir = Box::new(move |detached| {
        counter.set(counter.get() + 1);
        second.serve(detached);
    });
    let setup = Setup {
        index: 0,
        listeners: vec![listener],
        router: first_router,
        limits: limits(),
        page: first_page,
        recorder: recorder(),
        heartbeat: Duration::from_millis(5),
        idle_grace: Duration::from_hours(1),
        heir: Some(heir),
        pressure: MemoryPressure::new().1,
        orders,
    };
    let ended = Server::new(setup).unwrap().run().await;
    thread.below(1).await;
    (ended, count.get())
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
    until("the connection has moved", || second.connections() == 1);
    assert_eq!(first.page.connections(), 0);
    assert_eq!(client.post("/", "3"), ok("second 3"));
    assert_eq!(client.post("/", "4"), ok("second 4"));
    drop(client);
    assert_eq!(first.ended(), Ended::Drained);
    assert_eq!(given.recv().unwrap(), 1);
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
    until("the connection has moved", || second.connections() == 1);
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
    until("both have moved", || second.connections() == 2);
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
    assert_eq!(second.connections(), 0);
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
    assert_eq!(given.recv().unwrap(), 8);
    assert_eq!(second.requests_total(), 800);
}
