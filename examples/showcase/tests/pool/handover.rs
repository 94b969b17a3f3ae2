//! Live connections pass from worker to worker, and no client notices.

use std::time::Duration;

use rustix::process::Signal;

use crate::crash::connections_to_each;
use crate::support::{
    Cluster, Connection, Load, Plan, Process, REQUEST_LIMIT, Request, SOON, Target, alone, rounds,
    showcase, wait_until,
};

/// Many clients that keep their connections.
const MANY: Plan = Plan {
    fresh: 0,
    keep_alive: 64,
    pause: Duration::from_millis(50),
};

/// Reloads again and again under load.
fn reloads(pool: &Cluster, target: &Target, plan: Plan, times: u64) {
    let load = Load::start(target, plan);
    for _ in 0..times {
        pool.cli_ok(&["reload"]);
        load.serve_more(50);
    }
    pool.wait_whole(SOON);
    load.finish().assert_unnoticed();
    let handovers = pool.status().handovers;
    assert_eq!(handovers.refused, 0, "{handovers:?}");
}

#[test]
fn many_clients_keep_their_connections_through_many_reloads() {
    let _alone = alone();
    let pool = showcase().start();
    let times = rounds(8, 50);
    reloads(&pool, &pool.target(), MANY, times);
    let handovers = pool.status().handovers;
    assert!(handovers.handed >= 64 * times, "{handovers:?}");
    assert_eq!(handovers.fallen_back, 0, "{handovers:?}");
    wait_until("the log says so", SOON, || {
        pool.output().has(&["handed", "connections to"])
    });
}

#[test]
fn a_unix_socket_s_clients_keep_their_connections_too() {
    let _alone = alone();
    let builder = showcase();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("showcase.sock");
    let tcp = format!("127.0.0.1:{}", builder.port());
    let unix = format!("unix:{}", path.display());
    let pool = builder.set("listen.addresses", vec![tcp, unix]).start();
    let plan = Plan {
        keep_alive: 12,
        ..MANY
    };
    reloads(&pool, &Target::Unix(path), plan, rounds(4, 20));
}

#[test]
fn workers_with_threads_hand_over_between_all_of_them() {
    let _alone = alone();
    let pool = showcase().set("http.threads", 2).start();
    let plan = Plan {
        keep_alive: 16,
        ..MANY
    };
    reloads(&pool, &pool.target(), plan, rounds(4, 20));
}

#[test]
fn recycles_are_not_noticed_by_anybody() {
    let _alone = alone();
    let pool = showcase()
        .set("cluster.lifetime", "1s")
        .set("cluster.lifetime_spacing", "100ms")
        .start();
    let recycles = rounds(40, 200);
    let load = Load::start(&pool.target(), Plan::BOTH);
    let first = pool.status().instances().last().copied().unwrap();
    let limit = SOON + Duration::from_secs(recycles);
    pool.wait_status("many are recycled", limit, |status| {
        status.instances().last().copied().unwrap() >= first + recycles
    });
    load.serve_more(50);
    load.finish().assert_unnoticed();
}

#[test]
fn siblings_take_the_connections_of_slots_that_go() {
    let pool = showcase().start();
    let mut connections = connections_to_each(&pool, 5);
    pool.cli_ok(&["scale", "1"]);
    let status = pool.wait_whole(SOON);
    assert!(status.handovers.handed >= 15, "{status:?}");
    let survivor = u64::from(status.worker(0).unwrap().pid);
    for (_, connection) in &mut connections {
        let answer = connection.request(&Request::get("/whoami"), REQUEST_LIMIT);
        let answer = answer.unwrap();
        assert_eq!(answer.json()["pid"].as_u64(), Some(survivor));
        assert!(!answer.closes());
    }
}

#[test]
fn a_worker_that_leaves_by_itself_hands_over_too() {
    let pool = showcase().set("cluster.workers", 2).start();
    let mut connections = connections_to_each(&pool, 5);
    let leaver = pool.status().worker(0).unwrap().pid;
    Process::of(leaver).unwrap().signal(Signal::TERM);
    pool.wait_status("it is replaced", SOON, |status| {
        status.is_whole(2) && !status.pids().contains(&leaver)
    });
    for (_, connection) in &mut connections {
        let answer = connection.request(&Request::get("/whoami"), REQUEST_LIMIT);
        let answer = answer.unwrap();
        assert_ne!(answer.json()["pid"].as_u64(), Some(u64::from(leaver)));
        assert!(!answer.closes());
    }
}

#[test]
fn who_loses_the_successor_gets_another() {
    let pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.drain_timeout", "60s")
        .start();
    let old = pool.status();
    let mut connections = connections_to_each(&pool, 1);
    for (_, connection) in &mut connections {
        connection.send(&Request::get("/slow?ms=4000")).unwrap();
    }
    pool.wait_status("all are busy", SOON, |status| {
        status.workers.iter().all(|worker| worker.in_flight == 1)
    });
    // The old workers drain with their requests, and their successors die.
    pool.cli_ok(&["reload"]);
    let heirs = pool.status();
    for worker in heirs.ready() {
        Process::of(worker.pid).unwrap().signal(Signal::KILL);
    }
    pool.wait_status("others serve", SOON, |status| {
        let others = |pid| !heirs.pids().contains(&pid) && !old.pids().contains(&pid);
        status.ready().filter(|worker| others(worker.pid)).count() == 2
    });
    for (_, connection) in &mut connections {
        let answer = connection.receive(REQUEST_LIMIT).unwrap();
        assert!(!answer.closes(), "{answer:?}");
        let answer = connection.request(&Request::get("/whoami"), REQUEST_LIMIT);
        let answer = answer.unwrap();
        let pid = answer.json()["pid"].as_u64().unwrap();
        let pid = u32::try_from(pid).unwrap();
        assert!(!heirs.pids().contains(&pid), "{pid} of {heirs:?}");
        assert!(!answer.closes());
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_through_reloads() {
    const DEPTH: usize = 8;
    let _alone = alone();
    let pool = showcase().start();
    let done = std::sync::atomic::AtomicBool::new(false);
    let client = || {
        let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
        let mut number = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let bodies: Vec<_> = (number..number + DEPTH)
                .map(|number| format!(r#"{{"number":{number}}}"#))
                .collect();
            number += DEPTH;
            for body in &bodies {
                connection
                    .send(&Request::post("/echo", body.clone()))
                    .unwrap();
            }
            for body in &bodies {
                let answer = connection.receive(REQUEST_LIMIT).unwrap();
                assert_eq!(answer.text(), *body);
                assert!(!answer.closes());
            }
        }
        number
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..rounds(4, 20) {
            pool.cli_ok(&["reload"]);
            pool.wait_whole(SOON);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    });
    let handovers = pool.status().handovers;
    assert!(handovers.handed >= 16, "{handovers:?}");
}

#[test]
fn a_stop_has_nobody_to_hand_over_to() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let mut connections = connections_to_each(&pool, 3);
    pool.master().signal(Signal::TERM);
    for (_, connection) in &mut connections {
        wait_until("it is closed", SOON, || connection.is_closed());
    }
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
    assert!(!pool.output().has(&["handed"]));
}
