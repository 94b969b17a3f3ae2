//! What is being served is on record, and nothing else.

use std::convert::Infallible;
use std::task::Poll;

use axum::body::Body;
use bytes::Bytes;
use hatchery_sys::clock::monotonic_ms;
use hatchery_sys::recorder::RequestRecord;

use super::*;

impl Running {
    fn in_flight(&self) -> Vec<RequestRecord> {
        self.recorder.in_flight(monotonic_ms())
    }
}

/// A router whose `/block` and `/stream` keep the thread until `release` has a permit: in the
/// handler, and in the response's body.
fn blocking(gate: &Arc<Semaphore>, release: &Arc<Semaphore>) -> Router {
    let block = {
        let release = Arc::clone(release);
        move || {
            until("it is released", || release.available_permits() > 0);
            release.forget_permits(1);
        }
    };
    let stream = block.clone();
    router(gate)
        .route("/block", post(async move || block()))
        .route(
            "/stream",
            get(async move || {
                Body::new(Once(Some(move || {
                    stream();
                    "streamed"
                })))
            }),
        )
}

/// A body of one frame, which is made when it is asked for.
struct Once<F>(Option<F>);

impl<F: FnOnce() -> &'static str + Unpin> http_body::Body for Once<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let make = self.0.take();
        Poll::Ready(make.map(|make| Ok(http_body::Frame::data(make().into()))))
    }
}

#[test]
fn a_request_that_waits_is_in_flight_and_does_not_run() {
    let gate = gate();
    let mut running = start(limits(), router(&gate));
    let mut client = running.connect();
    client.send_get("/gate?secret=1");
    until("it is on record", || {
        running
            .in_flight()
            .first()
            .is_some_and(|request| !request.running)
    });
    let seen = &running.in_flight()[0];
    // What follows the path may be secret.
    assert_eq!((&*seen.method, &*seen.path), ("GET", "/gate"));
    gate.add_permits(1);
    assert_eq!(client.answer(), ok("through"));
    until("it is off the record", || running.in_flight().is_empty());
    assert_eq!(running.recorder.latencies().iter().sum::<u64>(), 1);
    drop(client);
    running.drain(true);
    assert_eq!(running.ended(), Ended::Drained);
}

#[test]
fn the_request_that_blocks_the_thread_is_named() {
    let gate = gate();
    let release = Arc::new(Semaphore::new(0));
    let mut running = start(limits(), blocking(&gate, &release));
    let mut other = running.connect();
    other.send_get("/gate");
    until("one waits", || running.in_flight().len() == 1);
    for (request, path) in [
        (&b"POST /block HTTP/1.1\r\nHost: h\r\n\r\n"[..], "/block"),
        (b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", "/stream"),
    ] {
        let mut client = running.connect();
        client.send(request);
        until("it has the thread", || {
            let seen = running.in_flight();
            let first = seen.first().filter(|first| first.running);
            first.is_some_and(|first| first.path == path && first.thread == Some(3))
        });
        let seen = running.in_flight();
        assert_eq!((seen.len(), seen[1].running), (2, false));
        release.add_permits(1);
        assert_eq!(client.answer().status, 200);
    }
    gate.add_permits(1);
    assert_eq!(other.answer(), ok("through"));
    drop(other);
    running.drain(true);
    assert_eq!(running.ended(), Ended::Drained);
}

#[test]
fn a_request_whose_handler_panicked_or_whose_client_went_is_off_the_record() {
    let gate = gate();
    let mut running = start(limits(), router(&gate));
    let mut client = running.connect();
    assert_eq!(client.get("/panic").status, 500);
    until("the panic's is gone", || running.in_flight().is_empty());
    client.send_get("/gate");
    until("it is on record", || running.in_flight().len() == 1);
    drop(client);
    until("the client's is gone", || running.in_flight().is_empty());
    running.drain(true);
    assert_eq!(running.ended(), Ended::Drained);
}
