//! A worker as a process of its own.

use axum::BoxError;

use super::*;
use crate::PressureLevel;

/// The applications of the tests' workers.
pub(super) fn build(script: &str, child: &Child) -> Result<(Router, Limits), BoxError> {
    let mut limits = Limits::default();
    match script {
        "fail" => return Err("no database\nat all".into()),
        "panic" => panic!("no idea"),
        "slow" => std::thread::sleep(Duration::from_hours(1)),
        "threads" => limits.threads = 3,
        _ => {}
    }
    let who = format!(
        "{} {} {:?} {} {} {} {}",
        child.app,
        child.env,
        child.slot,
        child.workers,
        child.instance,
        child.generation,
        String::from_utf8_lossy(&child.config),
    );
    let router = Router::new()
        .route("/who", get(async || who))
        .route("/pid", get(async || std::process::id().to_string()))
        .route("/up", get(up))
        .route("/slot", get(slot))
        .route("/pressure", get(pressure))
        .route("/wait/{ms}", get(wait))
        .route("/block", get(block))
        .route("/panic", get(panic))
        .route("/abort", get(abort))
        .with_state(child.moments.clone());
    Ok((router, limits))
}

async fn up(State(moments): State<Moments>) -> String {
    moments.server_did_ready.comes().await;
    format!("up, {}", moments.shutdown.has_come())
}

async fn slot(State(moments): State<Moments>) -> String {
    format!("{:?}", moments.slot.get())
}

/// Waits until memory is short.
async fn pressure(State(moments): State<Moments>) -> String {
    let mut pressure = moments.pressure;
    match pressure.level() {
        PressureLevel::None => format!("became {:?}", pressure.changed().await),
        level => format!("is {level:?}"),
    }
}

/// Waits for the drain, and a little longer.
async fn wait(State(moments): State<Moments>, PathOf(ms): PathOf<u64>) -> &'static str {
    moments.shutdown.comes().await;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "after the drain"
}

async fn panic() {
    panic!("on\nrecord");
}

async fn abort() {
    std::process::abort();
}

async fn block() -> &'static str {
    std::thread::sleep(Duration::from_hours(1));
    "never"
}

#[test]
fn a_worker_knows_who_it_is_and_serves() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    assert_eq!(run.page.threads(), 1);
    let answer = run.get("/who");
    assert!(
        answer.ends_with("test-app unittest Some(0) 1 7 2 {\"http\":{}}"),
        "{answer}"
    );
    let early = run.request("/up");
    run.tell(&ToChild::ServerDidReady, &[]);
    assert!(early.read().ends_with("up, false"));
    until("it ticks", || run.page.ticks()[0] > 0);
    let tick = run.page.ticks()[0];
    until("it ticks again", || run.page.ticks()[0] > tick);
    run.drain(true);
    assert_eq!(run.ended(), 0);
    // The master still has the listener, and what is in its queue.
    TcpStream::connect(run.address).unwrap();
    run.listener.accept().unwrap();
}

#[test]
fn a_drained_worker_finishes_its_request() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let answer = run.request("/wait/20");
    until("the request is in flight", || run.page.in_flight() == 1);
    run.drain(false);
    assert!(answer.read().ends_with("after the drain"));
    assert_eq!(run.ended(), 0);
    assert_eq!((run.page.in_flight(), run.page.requests_total()), (0, 1));
}

#[test]
fn a_spare_serves_once_it_has_a_slot() {
    for script in ["serve", "threads"] {
        let run = spare(script).start();
        assert_eq!(run.hear(), Some(ToMaster::Ready));
        let name = || std::fs::read_to_string(format!("/proc/{}/comm", run.child.pid)).unwrap();
        assert_eq!(name(), "test-app spare\n");
        let tick = run.page.ticks()[0];
        until("it ticks", || run.page.ticks()[0] > tick);
        // It is told while clients wait in the queue already.
        let answers: Vec<_> = (0..9).map(|_| run.request("/slot")).collect();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let serve = ToChild::Serve {
            slot: 3,
            listeners: vec![run.address.to_string(), "another".into()],
        };
        run.tell(&serve, &[run.listener.as_fd(), other.as_fd()]);
        for answer in answers {
            let answer = answer.read();
            assert!(answer.ends_with("Some(3)"), "{answer}");
        }
        let mut second = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        second.write_all(b"GET /who HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("200 OK"), "{answer}");
        assert_eq!(name(), "test-app w3\n");
        run.drain(true);
        assert_eq!(run.ended(), 0);
    }
}

#[test]
fn a_spare_that_is_not_needed_goes() {
    let run = spare("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    run.drain(false);
    assert_eq!(run.ended(), 0);
}

#[test]
fn user_code_learns_of_pressure() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let answer = run.request("/pressure");
    until("the request is in flight", || run.page.in_flight() == 1);
    // One thread serves both: when this is answered, the other one waits.
    assert!(run.get("/who").contains("200 OK"));
    run.tell(&ToChild::Pressure { level: 1 }, &[]);
    assert!(answer.read().ends_with("became Trim"));
    assert!(run.get("/pressure").ends_with("is Trim"));
    run.tell(&ToChild::Pressure { level: 9 }, &[]);
    until(
        "a level that only newer masters know is the highest",
        || run.get("/pressure").ends_with("is Shed"),
    );
}

#[test]
fn sigterm_is_told_and_drains_and_sigint_is_not_heard() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    run.signal(Signal::Int);
    let answer = run.request("/wait/20");
    until("the request is in flight", || run.page.in_flight() == 1);
    run.signal(Signal::Term);
    assert_eq!(run.hear(), Some(ToMaster::Leaving));
    assert!(answer.read().ends_with("after the drain"));
    assert_eq!(run.ended(), 0);
}

#[test]
fn another_slot_s_queue_is_served_and_counted() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let orphaned = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = orphaned.local_addr().unwrap();
    let mut waiting: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    run.tell(&ToChild::Adopt { listener: 9 }, &[orphaned.as_fd()]);
    assert_eq!(
        run.hear(),
        Some(ToMaster::Adopted {
            listener: 9,
            accepted: 3
        })
    );
    for stream in &mut waiting {
        stream.write_all(b"GET /who HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("200 OK"), "{answer}");
    }
    // It is closed there, not here.
    TcpStream::connect(address).unwrap();
}

#[test]
fn each_serving_thread_ticks_and_drains() {
    let run = worker("threads").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    assert_eq!(run.page.threads(), 3);
    until("all tick", || {
        run.page.ticks()[..3].iter().all(|&tick| tick > 0)
    });
    // Whichever thread takes them.
    let answers: Vec<_> = (0..30).map(|_| run.request("/wait/20")).collect();
    until("all are in flight", || run.page.in_flight() == 30);
    run.drain(true);
    for answer in answers {
        assert!(answer.read().ends_with("after the drain"));
    }
    assert_eq!(run.ended(), 0);
}
