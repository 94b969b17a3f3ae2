//! Releases one version apart: old workers under a new master, new workers under an old one, and a
//! new master that finds too late that it cannot take over.

use std::fs;

use rustix::process::Signal;

use crate::support::{
    Cluster, ClusterBuilder, Load, Plan, Process, SOON, Status, alone, file_identity, showcase,
    wait_until,
};

/// The other release.
const PRETENDER: &str = env!("CARGO_BIN_EXE_showcase-pretender");

fn install_other(pool: &Cluster) {
    pool.replace_executable(&fs::read(PRETENDER).unwrap());
}

fn builder(pretends: &str) -> ClusterBuilder {
    showcase()
        .set("cluster.workers", 3)
        .set("cluster.surge", 1)
        .set("cluster.min_ready", "500ms")
        .variable("SHOWCASE_PRETENDS", pretends)
}

/// A pool of the other release.
fn start_other(builder: ClusterBuilder) -> Cluster {
    let mut pool = builder.prepare();
    install_other(&pool);
    pool.launch();
    pool.wait_started();
    pool
}

/// Kills a worker and waits until the pool is whole again. Returns its pid.
#[track_caller]
fn crash_one(pool: &Cluster) -> u32 {
    let victim = pool.wait_whole(SOON).worker(0).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    pool.wait_status("its successor serves", SOON, |status| {
        status.is_whole(status.workers_wanted) && !status.pids().contains(&victim)
    });
    victim
}

fn assert_all_run(status: &Status, image: Option<(u64, u64)>) {
    for pid in status.pids() {
        assert_eq!(Process::of(pid).unwrap().executable(), image);
    }
}

#[test]
fn a_new_master_keeps_workers_that_speak_the_former_protocol() {
    let _alone = alone();
    let pool = builder("protocol-1,no-state").start();
    let image = file_identity(&pool.executable());
    let load = Load::start(&pool.target(), Plan::BOTH);
    install_other(&pool);
    let ended = pool.cli_ok(&["reload"]);
    let why = "stays on its former binary";
    assert!(ended.stdout.contains(why), "{ended:?}");
    assert!(ended.stdout.contains("--check-state"), "{ended:?}");
    assert_eq!(pool.master().executable(), image);
    assert_all_run(&pool.wait_whole(SOON), file_identity(&pool.executable()));
    // What a master does with workers it does with these: replace, shrink, grow, adopt.
    pool.cli_ok(&["reload"]);
    pool.cli_ok(&["scale", "1"]);
    pool.cli_ok(&["scale", "3"]);
    let victim = crash_one(&pool);
    load.serve_more(50);
    pool.replace_executable_by_twin();
    pool.cli_ok(&["reload"]);
    assert_all_run(&pool.wait_whole(SOON), file_identity(&pool.executable()));
    load.serve_more(50);
    let tally = load.finish();
    tally.assert_only_cut_by(&[victim], Plan::BOTH);
}

#[test]
fn an_old_master_starts_new_workers_and_then_follows() {
    let _alone = alone();
    let pool = start_other(builder("protocol-1"));
    let old = pool.wait_whole(SOON).worker(0).unwrap().pid;
    let spoken = |pid: u32| Process::of(pid).unwrap().variable("HATCHERY_PROTOCOL");
    assert_eq!(spoken(old).as_deref(), Some("1"));
    let load = Load::start(&pool.target(), Plan::BOTH);
    for _ in 0..2 {
        pool.replace_executable_by_twin();
        let ended = pool.cli_ok(&["reload"]);
        assert!(ended.stdout.contains("the master runs"), "{ended:?}");
        let image = file_identity(&pool.executable());
        assert_eq!(pool.master().executable(), image);
        let status = pool.wait_whole(SOON);
        assert_all_run(&status, image);
        // Started by the old master, in its words.
        let worker = status.worker(0).unwrap().pid;
        assert_eq!(spoken(worker).as_deref(), Some("1"));
        load.serve_more(50);

        // And back: its workers go before the master does.
        install_other(&pool);
        pool.cli_ok(&["reload"]);
        let image = file_identity(&pool.executable());
        assert_eq!(pool.master().executable(), image);
        assert_all_run(&pool.wait_whole(SOON), image);
        load.serve_more(50);
    }
    load.finish().assert_flawless();
}

#[test]
fn an_old_master_does_not_take_over_workers_that_it_cannot_speak_to() {
    let pool = builder("protocol-1").start();
    let before = pool.wait_whole(SOON);
    install_other(&pool);
    let ended = pool.cli(&["upgrade"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("reload to it first"), "{ended:?}");
    assert_eq!(pool.wait_whole(SOON).pids(), before.pids());
    pool.cli_ok(&["reload"]);
    let image = file_identity(&pool.executable());
    assert_eq!(pool.master().executable(), image);
}

#[test]
fn a_new_master_that_cannot_take_over_becomes_the_old_one_again() {
    let _alone = alone();
    let pool = builder("no-resume").start();
    let before = pool.wait_whole(SOON);
    let image = pool.master().executable();
    let load = Load::start(&pool.target(), Plan::BOTH);
    install_other(&pool);
    let descriptors = || {
        let fds = fs::read_dir(format!("/proc/{}/fd", pool.master().pid)).unwrap();
        fds.count()
    };
    let mut least = usize::MAX;
    for _ in 0..5 {
        let ended = pool.cli(&["upgrade"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let why = "the master runs on as it is: this is nobody, not showcase";
        assert!(ended.stderr.contains(why), "{ended:?}");
        assert_eq!(pool.master().executable(), image);
        least = least.min(descriptors());
        load.serve_more(50);
    }
    wait_until("no descriptor is left behind", SOON, || {
        descriptors() <= least
    });
    let after = pool.wait_whole(SOON);
    assert_eq!(after.pids(), before.pids());
    assert_eq!(after.master.pid, before.master.pid);
    let ended = pool.cli_ok(&["reload"]);
    assert!(
        ended.stdout.contains("stays on its former binary"),
        "{ended:?}"
    );
    assert_eq!(pool.master().executable(), image);
    load.finish().assert_flawless();
}
