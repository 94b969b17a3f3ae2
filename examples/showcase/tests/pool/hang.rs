//! Workers that no longer turn: found by their silence, replaced, and nobody punished in error.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::crash::connection;
use crate::support::{
    Cluster, ClusterBuilder, Connection, Load, Plan, Process, REQUEST_LIMIT, Request, SOON, alone,
    showcase, wait_until,
};

const HANG_TIMEOUT: Duration = Duration::from_secs(3);
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// What a busy machine may add to a limit.
const SLACK: Duration = Duration::from_secs(2);

pub(crate) fn watchful() -> ClusterBuilder {
    showcase()
        .set("cluster.heartbeat_interval", "100ms")
        .set("cluster.suspect_after", "500ms")
        .set("cluster.hang_timeout", "3s")
        .set("cluster.abort_grace", "500ms")
}

/// Hangs one worker under load and follows it to its end.
fn is_found_and_replaced(
    builder: ClusterBuilder,
    hang: impl FnOnce(&Cluster) -> (u32, Option<Connection>),
) {
    let _alone = alone();
    let pool = builder.start();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let (victim, _waiting) = hang(&pool);
    let process = Process::of(victim).unwrap();
    let began = Instant::now();

    pool.wait_status("it is suspect", SOON, |status| {
        let found = status.workers.iter().find(|worker| worker.pid == victim);
        found.is_some_and(|worker| worker.state == "suspect")
    });
    pool.wait_status("a stand-in serves", SOON, |status| {
        status.ready().filter(|worker| worker.pid != victim).count() == 4
    });
    assert!(
        process.is_alive(),
        "the stand-in does not wait for the end of the hung one"
    );
    // Who comes now is steered around it, and does not notice.
    let newcomers = Load::start(&pool.target(), Plan::FRESH);
    newcomers.serve_more(100);
    let newcomers = newcomers.finish();
    newcomers.assert_flawless();
    assert!(newcomers.slowest < Duration::from_secs(1), "{newcomers}");
    assert!(began.elapsed() < HANG_TIMEOUT, "the others serve meanwhile");

    wait_until("it is gone", SOON, || !process.is_alive());
    let took = began.elapsed();
    assert!(
        took < HANG_TIMEOUT + ABORT_GRACE + SLACK,
        "it took {took:?}"
    );
    let status = pool.wait_whole(SOON);
    assert!(!status.pids().contains(&victim));
    assert!(status.alarms.is_empty(), "{:?}", status.alarms);
    load.serve_more(50);
    load.finish().assert_only_cut_by(&[victim], Plan::BOTH);
    let pid = format!("pid {victim} ");
    assert!(
        pool.output().has(&[&pid, "is gone after", "hang"]),
        "the log tells why"
    );
}

/// Sends a request that hangs the worker, which must not see the connection end before.
pub(crate) fn hang_by_request(pool: &Cluster, fault: &str) -> (u32, Option<Connection>) {
    let (pid, mut connection) = connection(pool);
    let request = Request::post(format!("/faults/{fault}"), "");
    connection.send(&request).unwrap();
    (pid, Some(connection))
}

#[test]
fn a_spinning_worker_is_found_and_replaced() {
    is_found_and_replaced(watchful(), |pool| hang_by_request(pool, "spin"));
}

#[test]
fn a_blocked_worker_is_found_and_replaced() {
    is_found_and_replaced(watchful(), |pool| hang_by_request(pool, "block"));
}

/// Accepted by a worker that then hangs, and not yet looked at: such clients are served by another
/// worker, long before the end of the hung one.
fn clients_of_a_hung_worker_are_served_elsewhere(builder: ClusterBuilder, fault: &str) {
    let _alone = alone();
    let pool = builder.set("cluster.hang_timeout", "120s").start();
    let (victim, mut blocked) = connection(&pool);
    let mut silent: Vec<_> = (0..32)
        .map(|_| Connection::open(&pool.target(), REQUEST_LIMIT).unwrap())
        .collect();
    pool.wait_status("all are accepted", SOON, |status| {
        let open: u64 = status.workers.iter().map(|worker| worker.connections).sum();
        open > 32
    });
    let mine = pool.status();
    let mine = mine.workers.iter().find(|worker| worker.pid == victim);
    assert!(mine.unwrap().connections > 1, "it has some of them");
    blocked
        .send(&Request::post(format!("/faults/{fault}"), ""))
        .unwrap();
    pool.wait_status("it is suspect", SOON, |status| {
        let found = status.workers.iter().find(|worker| worker.pid == victim);
        found.is_some_and(|worker| worker.state == "suspect")
    });
    for connection in &mut silent {
        let answer = connection.request(&Request::get("/whoami"), REQUEST_LIMIT);
        let answer = answer.expect("it is served on");
        assert_ne!(answer.json()["pid"], victim);
    }
    pool.wait_status("it has the culprit's alone", SOON, |status| {
        let left = status.workers.iter().find(|worker| worker.pid == victim);
        left.expect("it lives").connections == 1
    });
    assert!(pool.status().handovers.handed > 0);
    Process::of(victim).unwrap().signal(Signal::KILL);
    pool.wait_whole(SOON);
}

#[test]
fn clients_of_a_blocked_worker_are_served_elsewhere() {
    clients_of_a_hung_worker_are_served_elsewhere(watchful(), "block");
}

#[test]
fn clients_of_a_spinning_worker_are_served_elsewhere() {
    clients_of_a_hung_worker_are_served_elsewhere(watchful().set("cluster.workers", 2), "spin");
}

#[test]
fn one_blocked_thread_of_two_is_enough() {
    let builder = watchful().set("http.threads", 2);
    is_found_and_replaced(builder, |pool| hang_by_request(pool, "block"));
}

#[test]
fn a_stopped_worker_is_found_and_replaced() {
    is_found_and_replaced(watchful(), |pool| {
        let pid = pool.status().worker(1).unwrap().pid;
        let process = Process::of(pid).unwrap();
        process.signal(Signal::STOP);
        wait_until("it is stopped", SOON, || process.is_stopped());
        (pid, None)
    });
}

#[test]
fn all_workers_hang_at_once_and_the_pool_becomes_whole_again() {
    let pool = watchful().set("cluster.workers", 2).start();
    let before = pool.status().pids();
    for &pid in &before {
        Process::of(pid).unwrap().signal(Signal::STOP);
    }
    pool.wait_status("all are replaced", SOON, |status| {
        status.is_whole(2) && status.pids().is_disjoint(&before)
    });
    assert_eq!(pool.ask(&Request::get("/hello")).status, 200);
}

#[test]
fn a_worker_that_recovers_is_never_killed() {
    let _alone = alone();
    let pool = watchful().set("cluster.hang_timeout", "60s").start();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let (pid, mut connection) = connection(&pool);
    let answer = connection.request(&Request::post("/faults/spin?ms=2000", ""), REQUEST_LIMIT);
    assert_eq!(answer.unwrap().text(), "spun\n");
    pool.wait_whole(SOON);
    load.serve_more(50);
    load.finish().assert_flawless();
    let who = format!("pid {pid} ");
    assert!(
        pool.output().has(&[&who, "ready -> suspect"]),
        "it was noticed"
    );
    assert!(
        pool.output()
            .has(&[&who, "is gone after", "hang, exit code 0"]),
        "it was drained, not killed"
    );
}

#[test]
fn a_master_that_stood_still_punishes_nobody() {
    let _alone = alone();
    let pool = watchful()
        .set("cluster.suspect_after", "1s")
        .set("cluster.hang_timeout", "2s")
        .start();
    let before = pool.status();
    let master = pool.master();
    master.signal(Signal::STOP);
    wait_until("the master is stopped", SOON, || master.is_stopped());
    let stopped = Instant::now();
    wait_until("two hang limits are over", SOON, || {
        assert_eq!(
            pool.ask(&Request::get("/hello")).status,
            200,
            "served all the same"
        );
        stopped.elapsed() > Duration::from_secs(4)
    });
    master.signal(Signal::CONT);
    let continued = Instant::now();
    wait_until("another hang limit is over", SOON, || {
        let now = pool.status();
        assert_eq!(now.instances(), before.instances(), "nobody is replaced");
        assert_eq!(now.pids(), before.pids(), "nobody is killed");
        continued.elapsed() > Duration::from_secs(3)
    });
    let after = pool.wait_whole(SOON);
    assert_eq!(after.agent.unwrap().pid, before.agent.unwrap().pid);
}
