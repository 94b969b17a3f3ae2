//! More and fewer workers, without a failed request.

use rustix::process::Signal;

use crate::crash::connections_to_each;
use crate::support::{ClusterBuilder, Load, Plan, SOON, alone, showcase};

fn scales(builder: ClusterBuilder) {
    let _alone = alone();
    let pool = builder.start();
    let before = pool.status();
    let load = Load::start(&pool.target(), Plan::BOTH);
    for workers in [8, 2, 4] {
        pool.cli_ok(&["scale", &workers.to_string()]);
        let status = pool.wait_status("the pool has its new size", SOON, |status| {
            status.is_whole(workers)
        });
        assert_eq!(status.workers_wanted, workers);
        load.serve_more(100);
        drop(connections_to_each(&pool, 1));
    }
    load.finish().assert_flawless();
    let after = pool.status();
    for slot in [0, 1] {
        let (before, after) = (before.worker(slot).unwrap(), after.worker(slot).unwrap());
        assert_eq!(before.instance, after.instance, "only the highest slots go");
    }
}

#[test]
fn four_to_eight_to_two_with_slots() {
    scales(showcase());
}

#[test]
fn four_to_eight_to_two_with_one_shared_listener() {
    scales(showcase().set("listen.mode", "shared"));
}

#[test]
fn sigttin_and_sigttou_add_and_take_one() {
    let pool = showcase().set("cluster.workers", 2).start();
    for (signal, workers) in [(Signal::TTIN, 3), (Signal::TTOU, 2), (Signal::TTOU, 1)] {
        pool.master().signal(signal);
        pool.wait_status("the pool has its new size", SOON, |status| {
            status.is_whole(workers)
        });
    }
    // Never below one.
    pool.master().signal(Signal::TTOU);
    pool.cli_ok(&["status"]);
    assert!(pool.wait_whole(SOON).is_whole(1));
}

#[test]
fn nonsense_is_refused() {
    let pool = showcase().set("cluster.workers", 1).start();
    for arguments in [["scale", "0"], ["scale", "many"], ["scale", "-1"]] {
        let ended = pool.cli(&arguments);
        assert!(
            matches!(ended.code, Some(1 | 2)),
            "{arguments:?}: {ended:?}"
        );
        assert!(!ended.stderr.trim().is_empty());
    }
    assert!(pool.status().is_whole(1));
}

#[test]
fn a_scale_to_what_does_not_boot_fails_and_keeps_what_there_is() {
    let pool = showcase()
        .set("cluster.workers", 2)
        .set("showcase.boot_fault_file", "fault")
        .start();
    let before = pool.status();
    let fault = pool.base().join("fault");
    std::fs::write(&fault, "error").unwrap();
    let ended = pool.cli(&["scale", "4"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("the worker was told not to start"),
        "{ended:?}"
    );
    let after = pool.status();
    for worker in &before.workers {
        assert!(after.pids().contains(&worker.pid), "{after:#?}");
    }
    std::fs::remove_file(&fault).unwrap();
    pool.cli_ok(&["scale", "3"]);
    pool.wait_status("it can be scaled again", SOON, |status| status.is_whole(3));
}
