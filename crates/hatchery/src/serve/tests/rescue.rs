//! A thread hangs, and those whom it has not looked at are served elsewhere.

use std::sync::mpsc::{Receiver, channel};

use axum::routing::post;

use super::super::Arrival;
use super::*;

/// Answers its name and what was posted; `/block` blocks the thread until it is told.
fn blocking(name: &'static str, told: Receiver<()>) -> Router {
    let told = Arc::new(std::sync::Mutex::new(told));
    router(&gate())
        .route(
            "/",
            post(async move |body: String| format!("{name} {body}")),
        )
        .route(
            "/block",
            get(async move || {
                let _ = told.lock().unwrap().recv();
                "told"
            }),
        )
}

#[test]
fn who_was_not_looked_at_is_taken_from_a_blocked_thread() {
    let (tell, told) = channel();
    let mut first = start(limits(), blocking("first", told));
    let second = start(limits(), blocking("second", channel().1));
    let mut known = first.connect();
    assert_eq!(known.post("/", "0"), ok("first 0"));
    let mut silent = first.connect();
    let mut early = first.connect();
    until("all are accepted", || first.page.connections() == 3);
    let mut blocker = first.connect();
    blocker.send_get("/block");
    until("it blocks", || first.page.in_flight() == 1);
    // It is in the socket, and nobody has read it.
    early.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1");

    let taken = first.unread.take_away();
    assert_eq!(taken.len(), 2, "those of which something was read stay");
    assert_eq!(first.page.connections(), 4, "until somebody has them");
    assert!(first.unread.take_away().is_empty(), "they are taken once");
    for connection in taken {
        second.arrivals.push(Arrival::Inherited {
            connection,
            acknowledge: Box::new(|| true),
        });
    }
    assert_eq!(early.answer(), ok("second 1"));
    assert_eq!(silent.post("/", "2"), ok("second 2"));
    assert_eq!(first.page.connections(), 2);

    // It goes on, and keeps its hands off what it has lost.
    tell.send(()).unwrap();
    assert_eq!(blocker.answer(), ok("told"));
    assert_eq!(known.post("/", "3"), ok("first 3"));
    assert_eq!(silent.post("/", "4"), ok("second 4"));
    assert_eq!(early.post("/", "5"), ok("second 5"));
    drop((known, blocker));
    until("it has only lost ones left", || {
        first.page.connections() == 0
    });
    first.drain(true);
    assert_eq!(first.ended(), Ended::Drained);
    assert_eq!(silent.post("/", "6"), ok("second 6"));
}

#[test]
fn a_thread_that_is_not_blocked_can_lose_them_too() {
    let (_tell, told) = channel();
    let mut first = start(limits(), blocking("first", told));
    let silent = first.connect();
    until("it is accepted", || first.page.connections() == 1);
    let taken = first.unread.take_away();
    assert_eq!(taken.len(), 1);
    // What wakes its driver now does not make it read.
    drop(silent);
    first.drain(true);
    until("its drain has begun", || {
        TcpStream::connect(first.address).is_err()
    });
    assert_eq!(first.page.connections(), 1, "it waits for who has taken it");
    drop(taken);
    assert_eq!(first.ended(), Ended::Drained);
    assert_eq!(first.page.connections(), 0);
}
