//! Reloads: all workers are replaced and no client notices, or nothing changes at all.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;

use crate::crash::connections_to_each;
use crate::support::{
    Cluster, Ended, Load, Plan, Process, REQUEST_LIMIT, Request, SOON, Status, Worker, alone,
    file_identity, rounds, showcase, wait_until,
};

/// What every worker answers at `/hello`; they must agree.
#[track_caller]
fn greeting(pool: &Cluster) -> String {
    let mut greetings = BTreeSet::new();
    for (_, mut connection) in connections_to_each(pool, 1) {
        let answer = connection.request(&Request::get("/hello"), REQUEST_LIMIT);
        greetings.insert(answer.unwrap().text());
    }
    assert_eq!(greetings.len(), 1, "{greetings:?}");
    greetings.pop_first().unwrap()
}

/// Reloads `times` under load and checks that nobody but the workers noticed.
fn reloads_unnoticed(mut pool: Cluster, plan: Plan, times: u64) {
    let watch = pool.watch();
    let load = Load::start(&pool.target(), plan);
    for round in 1..=times {
        pool.set("showcase.greeting", format!("Hello, round {round}"));
        let before = pool.status();
        pool.cli_ok(&["reload"]);
        let after = pool.wait_whole(SOON);
        assert!(after.generation > before.generation);
        assert!(after.pids().is_disjoint(&before.pids()), "all are replaced");
        assert!(
            after
                .workers
                .iter()
                .all(|worker| worker.generation == after.generation)
        );
        assert_eq!(greeting(&pool), format!("Hello, round {round}"));
        load.serve_more(100);
    }
    let tally = load.finish();
    tally.assert_unnoticed();
    let seen = watch.finish();
    assert!(
        seen.ready_min >= Some(4),
        "the pool is never weak: {seen:?}"
    );
    assert!(seen.states.contains("reloading"), "{seen:?}");
    assert!(!seen.states.contains("degraded"), "{seen:?}");
}

#[test]
fn many_reloads_with_a_new_connection_for_each_request() {
    let _alone = alone();
    reloads_unnoticed(showcase().start(), Plan::FRESH, rounds(20, 50));
}

#[test]
fn many_reloads_with_kept_connections() {
    let _alone = alone();
    reloads_unnoticed(showcase().start(), Plan::KEEP_ALIVE, rounds(20, 50));
}

#[test]
fn reloads_with_one_shared_listener() {
    let _alone = alone();
    let pool = showcase().set("listen.mode", "shared").start();
    reloads_unnoticed(pool, Plan::BOTH, 5);
}

#[test]
fn reloads_of_workers_with_two_threads_and_a_slow_boot() {
    let _alone = alone();
    let pool = showcase()
        .set("http.threads", 2)
        .set("showcase.boot_delay", "200ms")
        .start();
    reloads_unnoticed(pool, Plan::BOTH, 5);
}

#[test]
fn a_reload_replaces_in_batches_of_the_surge() {
    let pool = showcase().set("cluster.surge", 1).start();
    let watch = pool.watch();
    pool.cli_ok(&["reload"]);
    pool.wait_whole(SOON);
    let seen = watch.finish();
    assert_eq!(
        (seen.ready_min, seen.instances.len()),
        (Some(4), 8),
        "{seen:?}"
    );
    assert!(seen.per_slot_max <= 2, "{seen:?}");
}

#[test]
fn sighup_reloads() {
    let mut pool = showcase().start();
    let before = pool.status();
    pool.set("showcase.greeting", "Hello again");
    pool.master().signal(Signal::HUP);
    pool.wait_status("a new generation serves", SOON, |status| {
        status.generation > before.generation && status.is_whole(4)
    });
    assert_eq!(greeting(&pool), "Hello again");
}

#[test]
fn reloads_at_the_same_time_end_in_the_configuration_on_disk() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| pool.cli_ok(&["reload"]));
        }
    });
    pool.wait_whole(SOON);
    pool.set("showcase.greeting", "Hello, last one");
    pool.cli_ok(&["reload"]);
    pool.wait_whole(SOON);
    assert_eq!(greeting(&pool), "Hello, last one");
}

/// A reload that must be refused: code 1, a reason with `parts` in it, and nothing has changed.
#[track_caller]
fn is_refused(pool: &Cluster, before: &Status, parts: &[&str]) -> Ended {
    let ended = pool.cli(&["reload"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in parts {
        assert!(
            ended.stderr.contains(part),
            "no {part:?} in: {}",
            ended.stderr
        );
    }
    let after = pool.wait_whole(SOON);
    assert_eq!(
        after.instances(),
        before.instances(),
        "the old workers serve on"
    );
    assert_eq!(after.pids(), before.pids());
    assert_eq!(after.generation, before.generation);
    assert_eq!(
        after.agent.map(|agent| agent.pid),
        before.agent.as_ref().map(|agent| agent.pid)
    );
    ended
}

#[test]
fn a_reload_to_what_does_not_boot_leaves_the_old_pool_untouched() {
    let _alone = alone();
    let mut pool = showcase()
        .set("cluster.ready_timeout", "3s")
        .set("cluster.abort_grace", "200ms")
        .start();
    let before = pool.status();
    let load = Load::start(&pool.target(), Plan::BOTH);
    pool.set("showcase.greeting", "This must never be seen");
    for (fault, reasons) in [
        ("error", vec!["the worker was told not to start"]),
        (
            "exit",
            vec!["exit code 3", "the worker was told to exit with code 3"],
        ),
        ("panic", vec!["the worker was told to panic"]),
        ("hang", vec!["not ready"]),
    ] {
        pool.set("showcase.boot_fault", fault);
        is_refused(&pool, &before, &reasons);
        load.serve_more(20);
    }
    load.finish().assert_flawless();
    assert_eq!(greeting(&pool), "Hello, Hatchery");

    // A crash restarts what serves, not what is on disk.
    let victim = pool.status().worker(0).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    pool.wait_status("slot 0 serves again", SOON, |status| {
        status.is_whole(4) && !status.pids().contains(&victim)
    });
    assert_eq!(greeting(&pool), "Hello, Hatchery");

    pool.set("showcase.boot_fault", "none");
    pool.set("showcase.greeting", "At last");
    pool.cli_ok(&["reload"]);
    pool.wait_whole(SOON);
    assert_eq!(greeting(&pool), "At last");
}

#[test]
fn a_reload_to_a_bad_configuration_is_refused_before_anything_starts() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let before = pool.status();
    pool.set("cluster.wokers", 3);
    is_refused(
        &pool,
        &before,
        &["config.default.toml:", "wokers", "workers"],
    );
    pool.unset("cluster.wokers");
    pool.set("listen.mode", "shared");
    is_refused(&pool, &before, &["[listen]", "restart"]);
    let config = pool.base().join("config/config.default.toml");
    fs::write(config, "[cluster\n").unwrap();
    is_refused(&pool, &before, &["config.default.toml:1"]);
}

#[test]
fn a_reload_to_a_binary_that_does_not_run_is_refused() {
    let pool = showcase().set("cluster.workers", 2).start();
    let before = pool.status();
    pool.replace_executable(&fs::read("/bin/false").unwrap());
    is_refused(&pool, &before, &["exit code 1"]);
    pool.replace_executable(b"\x7fELF, it seems");
    is_refused(&pool, &before, &["showcase"]);
    fs::remove_file(pool.executable()).unwrap();
    is_refused(&pool, &before, &["showcase"]);
    pool.replace_executable_by_twin();
    pool.cli_ok(&["reload"]);
    pool.wait_whole(SOON);
}

/// The executables of all workers.
fn executables(status: &Status) -> BTreeSet<(u64, u64)> {
    let processes = status.pids().into_iter().filter_map(Process::of);
    processes
        .map(|process| process.executable().unwrap())
        .collect()
}

#[test]
fn a_crash_restarts_the_pinned_binary_and_a_reload_takes_the_one_on_disk() {
    let pool = showcase().start();
    let pinned = file_identity(&pool.executable()).unwrap();
    let first = pool.status();
    assert_eq!(executables(&first), BTreeSet::from([pinned]));

    pool.replace_executable_by_twin();
    let on_disk = file_identity(&pool.executable()).unwrap();
    assert_ne!(on_disk, pinned);
    let victim = first.worker(1).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    let status = pool.wait_status("slot 1 serves again", SOON, |status| {
        status.is_whole(4) && !status.pids().contains(&victim)
    });
    assert_eq!(
        executables(&status),
        BTreeSet::from([pinned]),
        "the pinned one"
    );

    pool.cli_ok(&["reload"]);
    let status = pool.wait_whole(SOON);
    assert_eq!(
        executables(&status),
        BTreeSet::from([on_disk]),
        "the one on disk"
    );
    let agent = Process::of(status.agent.unwrap().pid).unwrap();
    assert_eq!(agent.executable(), Some(on_disk), "the agent too");
}

#[test]
fn a_worker_killed_in_the_middle_of_a_reload_stops_nothing() {
    let _alone = alone();
    let mut pool = showcase().set("cluster.min_ready", "1s").start();
    let before = pool.status();
    let load = Load::start(&pool.target(), Plan::FRESH);
    pool.set("showcase.greeting", "Hello, survivors");
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| pool.cli(&["reload"]));
        let status = pool.wait_status("it reloads", SOON, |status| status.state == "reloading");
        let old = status
            .workers
            .iter()
            .rfind(|worker| worker.generation == before.generation);
        let victim = old.unwrap().pid;
        Process::of(victim).unwrap().signal(Signal::KILL);
        let ended = reload.join().unwrap();
        assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
        pool.wait_whole(SOON);
        load.serve_more(50);
        load.finish().assert_only_cut_by(&[victim], Plan::FRESH);
        let expected = if ended.code == Some(0) {
            "Hello, survivors"
        } else {
            "Hello, Hatchery"
        };
        assert_eq!(greeting(&pool), expected, "all old or all new");
    });
}

#[test]
fn a_canary_that_dies_ends_the_reload() {
    let _alone = alone();
    let mut pool = showcase().set("cluster.min_ready", "60s").start();
    let before = pool.status();
    let load = Load::start(&pool.target(), Plan::KEEP_ALIVE);
    pool.set("showcase.greeting", "Hello, canary");
    let (ended, canary) = std::thread::scope(|scope| {
        let reload = scope.spawn(|| pool.cli(&["reload"]));
        let is_canary = |worker: &&Worker| worker.generation > before.generation;
        let status = pool.wait_status("the canary sings", SOON, |status| {
            status.ready().any(|worker| is_canary(&worker))
        });
        let canary = status.ready().find(is_canary).unwrap().pid;
        Process::of(canary).unwrap().signal(Signal::KILL);
        (reload.join().unwrap(), canary)
    });
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("signal 9"), "{ended:?}");
    let after = pool.wait_whole(SOON);
    assert_eq!(after.generation, before.generation);
    assert_eq!(
        after
            .workers
            .iter()
            .filter(|worker| before.pids().contains(&worker.pid))
            .count(),
        4
    );
    load.finish()
        .assert_only_cut_by(&[canary], Plan::KEEP_ALIVE);
    assert_eq!(greeting(&pool), "Hello, Hatchery");
}

#[test]
fn a_reload_cures_a_crash_loop() {
    let mut pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.probe_interval", "1h")
        .set("showcase.boot_fault_file", "fault")
        .start();
    fs::write(pool.base().join("fault"), "error").unwrap();
    for pid in pool.status().pids() {
        Process::of(pid).unwrap().signal(Signal::KILL);
    }
    pool.wait_status("the crash budget is spent", SOON, |status| {
        status.state == "degraded" && !status.alarms.is_empty()
    });
    pool.set("showcase.boot_fault_file", "");
    pool.set("showcase.greeting", "Hello, cured");
    pool.cli_ok(&["reload"]);
    pool.wait_status("all is well", SOON, |status| {
        status.is_whole(2) && status.alarms.is_empty()
    });
    assert_eq!(greeting(&pool), "Hello, cured");
}

#[test]
fn a_reload_can_change_the_size_of_the_pool() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    for workers in [5, 1] {
        pool.set("cluster.workers", workers);
        pool.cli_ok(&["reload"]);
        pool.wait_status("the pool has its new size", SOON, |status| {
            status.is_whole(workers)
        });
        wait_until("it serves", SOON, || {
            pool.try_ask(&Request::get("/hello")).is_ok()
        });
    }
}
