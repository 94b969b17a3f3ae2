//! Workers that grow: recycled before they harm, without a failed request.

use std::time::Duration;

use crate::crash::connection;
use crate::support::{
    Cluster, ClusterBuilder, Load, Plan, Process, REQUEST_LIMIT, Request, SOON, alone, showcase,
    wait_until,
};

/// Memory is looked at often; a fresh worker has been looked at after this.
const LOOKED_AT: Duration = Duration::from_secs(1);

fn limited(soft: &str, hard: &str) -> ClusterBuilder {
    showcase()
        .set("cluster.memory_interval", "200ms")
        .set("cluster.memory_soft", soft)
        .set("cluster.memory_hard", hard)
}

/// Waits until no worker counts as one that needs so much from its start.
fn wait_looked_at(pool: &Cluster) {
    pool.wait_status("all have been looked at", SOON, |status| {
        let age =
            |worker: &crate::support::Worker| Duration::from_millis(worker.uptime_ms) > LOOKED_AT;
        status.workers.iter().all(age)
    });
}

fn leak(pool: &Cluster, mb: u32) -> u32 {
    let (pid, mut connection) = connection(pool);
    let request = Request::post(format!("/faults/leak?mb={mb}"), "").close();
    assert_eq!(
        connection.request(&request, REQUEST_LIMIT).unwrap().status,
        200
    );
    pid
}

#[test]
fn a_leaking_worker_is_recycled_without_a_failed_request() {
    let _alone = alone();
    let pool = limited("96MiB", "2GiB").start();
    wait_looked_at(&pool);
    let watch = pool.watch();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let victim = leak(&pool, 150);
    let process = Process::of(victim).unwrap();
    wait_until("it is recycled", SOON, || !process.is_alive());
    let status = pool.wait_whole(SOON);
    assert!(!status.pids().contains(&victim));
    load.serve_more(50);
    load.finish().assert_flawless();
    assert!(
        watch.finish().ready_min >= Some(4),
        "a successor comes first"
    );
    let pid = format!("pid {victim} ");
    assert!(pool.output().has(&[&pid, "is gone after", "memory"]));
    let restarts: u64 = status.workers.iter().map(|worker| worker.restarts).sum();
    assert!(restarts <= 1, "nobody else is touched: {status:#?}");
}

#[test]
fn a_worker_over_the_hard_limit_goes_at_once_and_finishes_what_it_can() {
    // The soft limit alone would wait for its third sample.
    let pool = limited("96MiB", "128MiB")
        .set("cluster.memory_interval", "1s")
        .start();
    pool.wait_status("all have been looked at", SOON, |status| {
        status.workers.iter().all(|worker| worker.uptime_ms > 2_500)
    });
    let (pid, mut slow) = connection(&pool);
    let process = Process::of(pid).unwrap();
    let request = Request::post("/faults/leak?mb=300", "");
    assert_eq!(slow.request(&request, REQUEST_LIMIT).unwrap().status, 200);
    slow.send(&Request::get("/slow?ms=2500")).unwrap();
    assert_eq!(slow.receive(REQUEST_LIMIT).unwrap().status, 200);
    wait_until("it is gone", SOON, || !process.is_alive());
    pool.wait_whole(SOON);
    let who = format!("pid {pid} ");
    assert!(pool.output().has(&[&who, "-> draining", "memory"]));
}

#[test]
fn a_limit_that_a_fresh_worker_exceeds_is_an_alarm_and_no_loop() {
    let pool = limited("1MiB", "2MiB").start();
    let before = pool.status();
    let status = pool.wait_status("there is an alarm", SOON, |status| {
        !status.alarms.is_empty()
    });
    assert!(status.alarms[0].contains("limit"), "{:?}", status.alarms);
    wait_looked_at(&pool);
    let after = pool.status();
    assert_eq!(after.instances(), before.instances());
    assert!(after.is_whole(4), "{after:#?}");
}
