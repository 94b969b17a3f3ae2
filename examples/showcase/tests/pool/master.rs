//! The master's own end: asked for, asked for twice, and by `kill -9`.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::crash::{connection, connections_to_each};
use crate::support::{
    Cluster, Connection, FailureKind, Process, REQUEST_LIMIT, Request, SOON, is_free, showcase,
    wait_until,
};

/// A request that is being served.
fn in_flight(pool: &Cluster, ms: u64) -> (u32, Connection) {
    let (pid, mut connection) = connection(pool);
    connection
        .send(&Request::get(format!("/slow?ms={ms}")))
        .unwrap();
    pool.wait_status("the request is in flight", SOON, |status| {
        let worker = status.workers.iter().find(|worker| worker.pid == pid);
        worker.is_some_and(|worker| worker.in_flight > 0)
    });
    (pid, connection)
}

#[test]
fn a_polite_stop_finishes_what_is_in_flight() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut pool = showcase().start();
        let began = Instant::now();
        let (_, mut slow) = in_flight(&pool, 2000);
        pool.master().signal(signal);
        wait_until("nobody new is let in", SOON, || {
            Connection::open(&pool.target(), REQUEST_LIMIT).is_err()
        });
        let response = slow.receive(REQUEST_LIMIT).unwrap();
        assert_eq!(response.status, 200);
        assert!(response.closes(), "the connection ends with it");
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert_eq!(pool.wait_master(SOON).code(), Some(0));
        pool.assert_gone();
        assert!(is_free(pool.port()));
        assert!(!pool.socket().exists(), "no control socket is left");
    }
}

#[test]
fn a_polite_stop_ends_idle_connections_and_serves_the_ones_in_use() {
    let mut pool = showcase().set("cluster.idle_grace", "2s").start();
    let mut connections = connections_to_each(&pool, 2);
    pool.master().signal(Signal::TERM);
    pool.wait_status("it stops", SOON, |status| status.state == "stopping");
    // Every second one is used once more: it is answered, and told that this was the last time.
    for (number, (_, connection)) in connections.iter_mut().enumerate() {
        if number % 2 == 0 && !connection.is_closed() {
            // Its worker may hear of the stop a moment later than we do.
            wait_until("the answer is the last", SOON, || {
                let response = connection.request(&Request::get("/hello"), REQUEST_LIMIT);
                response.unwrap().closes()
            });
        }
    }
    wait_until("all are closed", SOON, || {
        connections
            .iter_mut()
            .all(|(_, connection)| connection.is_closed())
    });
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
    pool.assert_gone();
}

/// A worker that is busy when the stop comes has not emptied its queue yet: the listeners stay open
/// until it has.
#[test]
fn a_polite_stop_serves_what_waits_behind_a_busy_worker() {
    let mut pool = showcase().set("cluster.workers", 1).start();
    let (_, mut busy) = connection(&pool);
    busy.send(&Request::post("/faults/block?ms=700", ""))
        .unwrap();
    pool.wait_status("the worker is busy", SOON, |status| {
        status.workers[0].in_flight > 0
    });
    let open = || Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    let mut waiting: Vec<_> = (0..16).map(|_| open()).collect();
    for connection in &mut waiting {
        connection.send(&Request::get("/hello")).unwrap();
    }
    pool.master().signal(Signal::TERM);
    for connection in waiting.iter_mut().chain([&mut busy]) {
        assert_eq!(connection.receive(REQUEST_LIMIT).unwrap().status, 200);
    }
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
    pool.assert_gone();
}

#[test]
fn a_stop_in_the_middle_of_a_restart_wins() {
    let mut pool = showcase().start();
    let (_, mut slow) = in_flight(&pool, 1500);
    pool.cli_ok(&["restart", "--no-wait"]);
    pool.wait_status("it stops", SOON, |status| status.state == "stopping");
    pool.master().signal(Signal::TERM);
    // The second signal that it gets, so it may not wait; what counts is that it does not return.
    let _ = slow.receive(REQUEST_LIMIT);
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
    pool.assert_gone();
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut pool = showcase().set("cluster.drain_timeout", "60s").start();
    let (_, mut slow) = in_flight(&pool, 60_000);
    pool.master().signal(Signal::TERM);
    pool.wait_status("it stops", SOON, |status| status.state == "stopping");
    let second = Instant::now();
    pool.master().signal(Signal::TERM);
    pool.wait_master(SOON);
    let took = second.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    pool.assert_gone();
    let failure = slow.receive(REQUEST_LIMIT).unwrap_err();
    assert!(
        matches!(failure.kind, FailureKind::Eof | FailureKind::Reset),
        "{failure}"
    );
}

#[test]
fn a_blocked_worker_does_not_outlive_the_stop() {
    let mut pool = showcase().set("cluster.drain_timeout", "1s").start();
    let mut connections = connections_to_each(&pool, 1);
    for ((_, connection), fault) in connections.iter_mut().zip(["block", "spin"]) {
        let request = Request::post(format!("/faults/{fault}"), "");
        connection.send(&request).unwrap();
    }
    // The agent cannot be asked either.
    let agent = Process::of(pool.status().agent.unwrap().pid).unwrap();
    agent.signal(Signal::STOP);
    let began = Instant::now();
    pool.master().signal(Signal::TERM);
    pool.wait_master(SOON);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "it took {took:?}");
    pool.assert_gone();
}

#[test]
fn a_stop_in_the_middle_of_a_reload_wins() {
    let mut pool = showcase().set("showcase.boot_delay", "1s").start();
    let ended = std::thread::scope(|scope| {
        let reload = scope.spawn(|| pool.cli(&["reload"]));
        pool.wait_status("it reloads", SOON, |status| status.workers.len() > 4);
        pool.master().signal(Signal::TERM);
        reload.join().unwrap()
    });
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.is_empty());
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
    pool.assert_gone();
}

#[test]
fn a_killed_master_leaves_nothing_and_what_is_in_flight_is_finished() {
    let mut pool = showcase().set("cluster.orphan_grace", "0s").start();
    let (busy, mut slow) = in_flight(&pool, 1000);
    // Another worker is blocked: it must not outlive the master either.
    let mut blocked = connections_to_each(&pool, 1);
    let (_, connection) = blocked.iter_mut().find(|(pid, _)| *pid != busy).unwrap();
    connection
        .send(&Request::post("/faults/block", ""))
        .unwrap();

    let killed = Instant::now();
    pool.master().signal(Signal::KILL);
    pool.wait_master(SOON);
    let response = slow.receive(REQUEST_LIMIT).unwrap();
    assert_eq!(response.status, 200);
    pool.assert_gone();
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    // The kernel may close what was on its way between the dead a moment later.
    wait_until("its port is free", SOON, || is_free(pool.port()));

    // What the dead master left on disk does not stand in the way.
    pool.launch();
    pool.wait_started();
    assert_eq!(pool.ask(&Request::get("/hello")).status, 200);
}

#[test]
fn orphans_serve_on_for_the_grace_that_they_are_given() {
    let mut pool = showcase().set("cluster.orphan_grace", "2s").start();
    let killed = Instant::now();
    pool.master().signal(Signal::KILL);
    pool.wait_master(SOON);
    wait_until("they serve on", SOON, || {
        let answer = pool.try_ask(&Request::get("/hello"));
        assert!(
            killed.elapsed() > Duration::from_millis(1800) || answer.is_ok(),
            "{answer:?}"
        );
        answer.is_err()
    });
    wait_until("they are gone", SOON, || pool.processes().is_empty());
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(6), "it took {took:?}");
}

#[test]
fn a_master_killed_while_workers_boot_leaves_nothing() {
    let mut pool = showcase()
        .set("showcase.boot_delay", "1h")
        .set("cluster.orphan_grace", "0s")
        .launch();
    pool.wait_status("workers boot", SOON, |status| status.workers.len() == 4);
    pool.master().signal(Signal::KILL);
    pool.wait_master(SOON);
    pool.assert_gone();
}
