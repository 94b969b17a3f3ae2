//! The master dies by `kill -9` and a new one is started: nobody but the processes notices.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;

use crate::crash::{connection, connections_to_each};
use crate::support::{
    Cluster, Connection, Load, Plan, Process, REQUEST_LIMIT, Request, SOON, Status, Target, alone,
    rounds, showcase, wait_for, wait_until,
};

/// Kills the master and starts the next one; returns the status when the new pool is whole and
/// nobody of the former one is left.
fn succession(pool: &mut Cluster) -> Status {
    kill_master(pool);
    pool.launch();
    pool.wait_started();
    pool.wait_status("the orphans are gone", SOON, |status| {
        status.orphans.is_empty() && status.is_whole(status.workers_wanted)
    })
}

fn kill_master(pool: &mut Cluster) {
    pool.master().signal(Signal::KILL);
    pool.wait_master(SOON);
}

/// Looks for agents until it is told to stop.
struct Agents {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Agents {
    fn watch(pool: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, directory) = (Arc::clone(&stop), pool.base().to_owned());
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !stopped.load(Ordering::Relaxed) {
                most = most.max(agents(&directory).len());
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        Self { stop, thread }
    }

    /// The most that there were at a time.
    fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn agents(directory: &Path) -> BTreeSet<Process> {
    let all = Process::running_from(directory).into_iter();
    all.filter(|process| process.variable("HATCHERY_ROLE").as_deref() == Some("agent"))
        .filter(|process| process.is_alive())
        .collect()
}

/// Kills the master again and again under load; nobody fails.
fn successions_unnoticed(mut pool: Cluster, target: &Target) {
    let load = Load::start(target, Plan::BOTH);
    let agents = Agents::watch(&pool);
    for _ in 0..rounds(4, 20) {
        let before = pool.status();
        let after = succession(&mut pool);
        assert!(after.pids().is_disjoint(&before.pids()), "all are new");
        assert!(
            after.instances().iter().min() > before.instances().iter().max(),
            "numbers go on: {:?} after {:?}",
            after.instances(),
            before.instances()
        );
        load.serve_more(50);
    }
    let tally = load.finish();
    tally.assert_flawless();
    assert_eq!(tally.closed_with_notice, 0, "nobody reconnects: {tally}");
    assert_eq!(agents.finish(), 1, "never two agents");
    // The new master steers: the others find nothing in the queues of one that does not serve.
    let alarms = pool.status().alarms;
    assert!(alarms.is_empty(), "{alarms:?}");
}

#[test]
fn a_new_master_takes_over_and_no_client_notices() {
    let _alone = alone();
    let pool = showcase().start();
    let target = pool.target();
    successions_unnoticed(pool, &target);
}

#[test]
fn a_new_master_takes_over_one_shared_listener() {
    let _alone = alone();
    let pool = showcase().set("listen.mode", "shared").start();
    let target = pool.target();
    successions_unnoticed(pool, &target);
}

fn unix_pool() -> (Cluster, PathBuf) {
    let mut pool = showcase().prepare();
    let path = pool.base().join("web.sock");
    pool.set(
        "listen.addresses",
        serde_json::json!([
            format!("127.0.0.1:{}", pool.port()),
            format!("unix:{}", path.display())
        ]),
    );
    pool.launch();
    pool.wait_started();
    (pool, path)
}

#[test]
fn a_new_master_takes_over_a_unix_socket() {
    let _alone = alone();
    let (pool, path) = unix_pool();
    successions_unnoticed(pool, &Target::Unix(path));
}

/// What waits in a queue while there is no master is served, whoever held the socket.
#[test]
fn what_waits_in_a_queue_outlives_the_master() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let workers: Vec<_> = pool.status().pids().into_iter().collect();
    for pid in &workers {
        Process::of(*pid).unwrap().signal(Signal::STOP);
    }
    let mut waiting: Vec<_> = (0..20)
        .map(|_| Connection::open(&pool.target(), REQUEST_LIMIT).unwrap())
        .collect();
    for connection in &mut waiting {
        connection.send(&Request::get("/hello")).unwrap();
    }
    kill_master(&mut pool);
    for pid in &workers {
        Process::of(*pid).unwrap().signal(Signal::KILL);
    }
    // The agent alone has the listeners now.
    pool.launch();
    pool.wait_started();
    for connection in &mut waiting {
        assert_eq!(connection.receive(REQUEST_LIMIT).unwrap().status, 200);
    }
}

#[test]
fn without_the_agent_the_workers_listeners_are_taken_over() {
    let _alone = alone();
    let mut pool = showcase().start();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let agent = Process::of(pool.status().agent.unwrap().pid).unwrap();
    // So that it cannot start another.
    pool.master().signal(Signal::STOP);
    agent.signal(Signal::KILL);
    succession(&mut pool);
    load.serve_more(100);
    // A worker that dies has its queue emptied, as ever.
    let load_before = pool.status();
    pool.cli_ok(&["reload"]);
    let after = pool.wait_whole(SOON);
    assert!(after.pids().is_disjoint(&load_before.pids()));
    load.serve_more(100);
    load.finish().assert_flawless();
    assert!(pool.output().text().contains("the kernel chooses"));
}

#[test]
fn a_blocked_orphan_is_taken_over_and_ended() {
    let _alone = alone();
    let mut pool = showcase().set("cluster.drain_timeout", "2s").start();
    let mut connections = connections_to_each(&pool, 1);
    let (blocked, connection) = &mut connections[0];
    connection
        .send(&Request::post("/faults/block", ""))
        .unwrap();
    let blocked = Process::of(*blocked).unwrap();
    pool.wait_status("it is in flight", SOON, |status| {
        let worker = status
            .workers
            .iter()
            .find(|worker| worker.pid == blocked.pid);
        worker.is_some_and(|worker| worker.in_flight > 0)
    });
    kill_master(&mut pool);
    pool.launch();
    let status = pool.wait_status("it has reported", SOON, |status| {
        status
            .orphans
            .iter()
            .any(|orphan| orphan.pid == blocked.pid)
    });
    let orphan = status
        .orphans
        .iter()
        .find(|orphan| orphan.pid == blocked.pid);
    assert_eq!(orphan.unwrap().role, "worker");
    assert!(orphan.unwrap().slot.is_some());
    pool.wait_status("it is gone", SOON, |status| status.orphans.is_empty());
    assert!(!blocked.is_alive());
    pool.wait_whole(SOON);
    let exits = pool.cli_ok(&["exits", "--json"]).stdout;
    let exits: Vec<serde_json::Value> = serde_json::from_str(&exits).unwrap();
    let exit = exits.iter().find(|exit| exit["pid"] == blocked.pid);
    let exit = exit.expect("its end is reported");
    assert_eq!(exit["requests_cut"], 1, "{exit}");
    assert_eq!(exit["in_flight"][0]["path"], "/faults/block", "{exit}");
    let drained = exits.iter().filter(|exit| exit["reason"] == "clean");
    assert!(drained.count() >= 3, "{exits:?}");
}

#[test]
fn a_silent_agent_is_ended_before_there_is_another() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let agent = Process::of(pool.status().agent.unwrap().pid).unwrap();
    agent.signal(Signal::STOP);
    wait_until("it stands still", SOON, || agent.is_stopped());
    let agents = Agents::watch(&pool);
    kill_master(&mut pool);
    pool.launch();
    pool.wait_started();
    assert!(!agent.is_alive());
    assert_eq!(agents.finish(), 1, "never two agents");
}

#[test]
fn orphans_that_drain_report_to_the_one_after_the_next() {
    let _alone = alone();
    let mut pool = showcase().start();
    let load = Load::start(&pool.target(), Plan::FRESH);
    let (busy, mut slow) = connection(&pool);
    slow.send(&Request::get("/slow?ms=5000")).unwrap();
    let is_draining = |status: &Status| {
        let orphan = status.orphans.iter().find(|orphan| orphan.pid == busy);
        orphan.is_some_and(|orphan| orphan.state == "draining")
    };
    for _ in 0..2 {
        kill_master(&mut pool);
        pool.launch();
        pool.wait_started();
        pool.wait_status("it drains", SOON, is_draining);
    }
    assert_eq!(slow.receive(REQUEST_LIMIT).unwrap().status, 200);
    pool.wait_status("all are gone", SOON, |status| status.orphans.is_empty());
    load.finish().assert_flawless();
}

#[test]
fn a_start_that_fails_leaves_the_orphans_as_they_were() {
    let _alone = alone();
    let (mut pool, path) = unix_pool();
    let before = pool.status();
    let load = Load::start(&pool.target(), Plan::BOTH);
    kill_master(&mut pool);
    pool.set("showcase.boot_fault", "error");
    pool.launch();
    assert_eq!(pool.wait_master(SOON).code(), Some(1));
    load.serve_more(50);
    let mut unix = Connection::open(&Target::Unix(path), REQUEST_LIMIT).unwrap();
    let answer = unix.request(&Request::get("/whoami"), REQUEST_LIMIT);
    let pid = answer.unwrap().json()["pid"].as_u64().unwrap();
    assert!(before.pids().contains(&u32::try_from(pid).unwrap()));

    pool.set("showcase.boot_fault", "none");
    pool.launch();
    pool.wait_started();
    pool.wait_status("all are gone", SOON, |status| status.orphans.is_empty());
    load.serve_more(50);
    load.finish().assert_flawless();
}

#[test]
fn a_stop_takes_the_orphans_along() {
    let mut pool = showcase().start();
    let old = pool.status().pids();
    kill_master(&mut pool);
    pool.set("showcase.boot_delay", "1h");
    pool.launch();
    pool.wait_status("the orphans have reported", SOON, |status| {
        let orphans = status
            .orphans
            .iter()
            .filter(|orphan| orphan.role == "worker");
        orphans.count() == old.len()
    });
    pool.stop();
}

#[test]
fn orphans_go_when_nobody_comes() {
    let mut pool = showcase()
        .set("cluster.orphan_grace", "1s")
        .set("cluster.workers", 2)
        .start();
    kill_master(&mut pool);
    wait_for("they are gone", SOON, || {
        pool.processes().is_empty().then_some(())
    });
    pool.launch();
    pool.wait_started();
}

#[test]
fn orphans_find_the_next_image_of_their_new_master() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let (busy, mut slow) = connection(&pool);
    slow.send(&Request::get("/slow?ms=6000")).unwrap();
    kill_master(&mut pool);
    pool.launch();
    pool.wait_started();
    let is_there = |status: &Status| status.orphans.iter().any(|orphan| orphan.pid == busy);
    pool.wait_status("it drains", SOON, is_there);
    pool.cli_ok(&["upgrade"]);
    pool.wait_status("it has reported again", SOON, is_there);
    assert_eq!(slow.receive(REQUEST_LIMIT).unwrap().status, 200);
    pool.wait_status("all are gone", SOON, |status| status.orphans.is_empty());
    pool.wait_whole(SOON);
}
