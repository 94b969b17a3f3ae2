//! Workers that die: who notices, and how the pool becomes whole again.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Cluster, Connection, FailureKind, Load, Plan, Process, REQUEST_LIMIT, Request, SOON, alone,
    showcase, wait_until,
};

/// Keep-alive connections, `each` to every worker, with the pid that serves them.
pub(crate) fn connections_to_each(pool: &Cluster, each: usize) -> Vec<(u32, Connection)> {
    let pids = pool.status().pids();
    let mut counts: BTreeMap<u32, usize> = pids.iter().map(|&pid| (pid, 0)).collect();
    let mut kept = Vec::new();
    for _ in 0..pids.len() * each * 50 {
        if counts.values().all(|&count| count == each) {
            return kept;
        }
        let (pid, connection) = connection(pool);
        let count = counts.get_mut(&pid).expect("a worker of the pool answers");
        if *count < each {
            *count += 1;
            kept.push((pid, connection));
        }
    }
    panic!("connections are not spread over the workers: {counts:?}");
}

/// A keep-alive connection and the pid that serves it.
pub(crate) fn connection(pool: &Cluster) -> (u32, Connection) {
    let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
    let answer = connection.request(&Request::get("/whoami"), REQUEST_LIMIT);
    let pid = answer.unwrap().json()["pid"].as_u64().unwrap();
    (u32::try_from(pid).unwrap(), connection)
}

/// Makes the fault strike some worker, whose process must end without an answer.
pub(crate) fn strike(pool: &Cluster, fault: &str) -> u32 {
    let (pid, mut connection) = connection(pool);
    let process = Process::of(pid).unwrap();
    let request = Request::post(format!("/faults/{fault}"), "");
    let failure = connection.request(&request, REQUEST_LIMIT).unwrap_err();
    let cut = matches!(failure.kind, FailureKind::Eof | FailureKind::Reset);
    assert!(cut, "{fault}: {failure}");
    wait_until("the worker is dead", SOON, || !process.is_alive());
    pid
}

#[test]
fn a_killed_worker_takes_only_its_own_requests_along() {
    let pool = showcase().start();
    let mut waiting = connections_to_each(&pool, 2);
    for (_, connection) in &mut waiting {
        connection.send(&Request::get("/slow?ms=1500")).unwrap();
    }
    pool.wait_status("the requests are in flight", SOON, |status| {
        status.ready().all(|worker| worker.in_flight == 2)
    });
    let victim = pool.status().worker(2).unwrap().clone();
    Process::of(victim.pid).unwrap().signal(Signal::KILL);

    for (pid, mut connection) in waiting {
        let result = connection.receive(REQUEST_LIMIT);
        match result {
            Ok(response) => assert_eq!((pid == victim.pid, response.status), (false, 200)),
            Err(failure) => assert_eq!(pid, victim.pid, "{failure}"),
        }
    }
    let status = pool.wait_whole(SOON);
    let heir = status.worker(2).unwrap();
    assert_eq!(heir.restarts, 1);
    assert!(heir.instance > victim.instance);
    for slot in [0, 1, 3] {
        assert_eq!(status.worker(slot).unwrap().restarts, 0);
    }
    let killed = format!("worker 2 #{}", victim.instance);
    assert!(pool.output().has(&[&killed, "is gone after", "signal 9"]));
}

#[test]
fn workers_die_under_load_in_every_way_and_the_pool_becomes_whole_again() {
    let _alone = alone();
    let pool = showcase().start();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let mut victims = Vec::new();
    for fault in ["abort", "segv", "exit", "exit?code=3", "kill"] {
        let victim = if fault == "kill" {
            let pid = pool.status().worker(0).unwrap().pid;
            Process::of(pid).unwrap().signal(Signal::KILL);
            pid
        } else {
            strike(&pool, fault)
        };
        victims.push(victim);
        load.serve_more(100);
        let status = pool.wait_whole(SOON);
        assert!(!status.pids().contains(&victim), "{fault}");
    }
    let tally = load.finish();
    // Each death can cut the one request of every client, and the client that meets the next one.
    tally.assert_only_cut_by(&victims, Plan::BOTH);
    let status = pool.status();
    let restarts: u64 = status.workers.iter().map(|worker| worker.restarts).sum();
    assert_eq!(restarts, 5);
    for how in [
        "signal 6",
        "signal 11",
        "exit code 0",
        "exit code 3",
        "signal 9",
    ] {
        assert!(
            pool.output().has(&["is gone after", how]),
            "{how} is in the log"
        );
    }
    let zombies = pool
        .master()
        .children()
        .into_iter()
        .filter(|child| child.is_zombie());
    assert_eq!(zombies.count(), 0, "everybody is reaped");
}

#[test]
fn nobody_waits_for_the_boot_of_a_dead_workers_successor() {
    const BOOT: Duration = Duration::from_secs(3);
    let _alone = alone();
    let pool = showcase().set("showcase.boot_delay", "3s").start();
    let load = Load::start(&pool.target(), Plan::FRESH);
    let victim = pool.status().worker(1).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    pool.wait_status("its slot is empty", SOON, |status| {
        status.state == "degraded"
    });
    load.serve_more(500);
    pool.wait_whole(SOON);
    let tally = load.finish();
    tally.assert_only_cut_by(&[victim], Plan::FRESH);
    // What had queued for the dead one is taken over by the others.
    assert!(tally.slowest < BOOT / 3, "{tally}");
}

#[test]
fn a_panic_is_a_500_and_the_worker_lives_on() {
    let pool = showcase().start();
    let before = pool.status();
    let (pid, mut connection) = connection(&pool);
    let panic = Request::post("/faults/panic", "");
    assert_eq!(
        connection.request(&panic, REQUEST_LIMIT).unwrap().status,
        500
    );
    let again = connection
        .request(&Request::get("/whoami"), REQUEST_LIMIT)
        .unwrap();
    assert_eq!(again.json()["pid"], pid);
    assert_eq!(pool.status().instances(), before.instances());
    wait_until("the panic is in the log", SOON, || {
        pool.output().has(&["a panic was asked for"])
    });
}

#[test]
fn a_worker_that_is_told_to_leave_is_replaced_first() {
    let _alone = alone();
    let pool = showcase().start();
    let watch = pool.watch();
    let load = Load::start(&pool.target(), Plan::BOTH);
    for slot in 0..2 {
        let leaver = pool.status().worker(slot).unwrap().pid;
        let process = Process::of(leaver).unwrap();
        process.signal(Signal::TERM);
        wait_until("it has left", SOON, || !process.is_alive());
        let status = pool.wait_whole(SOON);
        assert!(!status.pids().contains(&leaver));
        load.serve_more(50);
    }
    load.finish().assert_flawless();
    let seen = watch.finish();
    assert!(!seen.worker_states.contains("suspect"), "{seen:?}");
}

#[test]
fn a_crash_loop_forks_little_and_ends_when_its_cause_is_gone() {
    const PROBE_INTERVAL: Duration = Duration::from_secs(2);
    /// Two workers, two restarts each.
    const BUDGET: usize = 4;
    let pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.probe_interval", "2s")
        .set("showcase.boot_fault_file", "fault")
        .start();
    let fault = pool.base().join("fault");
    fs::write(&fault, "exit").unwrap();

    let began = Instant::now();
    for pid in pool.status().pids() {
        Process::of(pid).unwrap().signal(Signal::KILL);
    }
    let forks = || {
        let deaths = pool.output().lines();
        let boots = deaths.iter().filter(|line| line.contains("is gone after"));
        boots.filter(|line| line.contains("exit code 3")).count()
    };
    let status = pool.wait_status("the pool is degraded, with an alarm", SOON, |status| {
        status.state == "degraded" && !status.alarms.is_empty()
    });
    assert_eq!(status.workers_wanted, 2, "nothing is given up");
    wait_until("probes go on", SOON, || forks() >= BUDGET + 2);
    let probes = began.elapsed().as_secs() / PROBE_INTERVAL.as_secs() + 1;
    let most = BUDGET + usize::try_from(probes).unwrap();
    assert!(
        forks() <= most,
        "{} forks in {:?}",
        forks(),
        began.elapsed()
    );

    // Who asks now waits, and is served in the end.
    let target = pool.target();
    let patient = thread::spawn(move || {
        crate::support::client::ask(&target, &Request::get("/hello"), 2 * SOON)
    });
    fs::remove_file(&fault).unwrap();
    pool.wait_status("the pool is whole, without an alarm", SOON, |status| {
        status.is_whole(2) && status.alarms.is_empty()
    });
    assert_eq!(patient.join().unwrap().unwrap().status, 200);
}

#[test]
fn a_crash_loop_of_one_slot_is_not_noticed_by_clients() {
    let _alone = alone();
    let pool = showcase().set("showcase.boot_fault_file", "fault").start();
    let fault = pool.base().join("fault");
    let victim = pool.status().worker(3).unwrap().pid;
    fs::write(&fault, "error").unwrap();
    Process::of(victim).unwrap().signal(Signal::KILL);
    pool.wait_status("the pool is degraded", SOON, |status| {
        status.state == "degraded"
    });
    let load = Load::start(&pool.target(), Plan::BOTH);
    wait_until("its starts fail again and again", SOON, || {
        pool.output().has(&["worker 3: failure 4 in a row"])
    });
    let status = pool.status();
    assert_eq!(
        (status.state.as_str(), status.ready().count()),
        ("degraded", 3)
    );
    fs::remove_file(&fault).unwrap();
    pool.wait_whole(SOON);
    load.serve_more(50);
    load.finish().assert_flawless();
}
