//! What `hatchery::testing::Cluster` offers does what it says.

use std::time::Duration;

use crate::support::{SOON, showcase, wait_until};

#[test]
fn a_worker_that_is_killed_or_hung_is_replaced_and_reported() {
    let mut pool = showcase()
        .workers(2)
        .config("[cluster]\nsuspect_after = \"500ms\"\nhang_timeout = \"1s\"")
        .start();
    assert_eq!(pool.get("/hello").text(), "Hello, Hatchery");

    let killed = pool.kill(0);
    let whole =
        pool.wait_until(|status| status.is_whole(2) && !status.pids().contains(&killed.pid));
    assert!(!killed.is_alive());

    let hung = pool.hang(1);
    assert!(whole.pids().contains(&hung.pid));
    pool.wait_until(|status| status.is_whole(2) && !status.pids().contains(&hung.pid));

    let exits = pool.exits();
    let reason = |pid| {
        exits
            .iter()
            .find(|exit| exit.pid == pid)
            .map(|exit| &*exit.reason)
    };
    assert_eq!(reason(killed.pid), Some("signal"));
    assert_eq!(reason(hung.pid), Some("hang"));

    pool.set("showcase.greeting", "Hello again");
    pool.reload();
    assert_eq!(pool.get("/hello").text(), "Hello again");
    pool.stop();
}

#[test]
fn a_pool_that_is_dropped_in_a_panic_leaves_nothing() {
    let pool = showcase().workers(1).start();
    let processes = pool.processes();
    assert_eq!(processes.len(), 3, "master, agent, worker");
    let base = pool.base().to_owned();
    let hung = pool.hang(0);
    let failed = std::thread::spawn(move || {
        let _pool = pool;
        panic!("on purpose");
    });
    assert!(failed.join().is_err());
    wait_until("nothing is left", SOON, || {
        !processes.iter().any(|process| process.is_alive())
    });
    assert!(!hung.is_alive());
    assert!(!base.exists(), "its directory is gone, too");
}

#[test]
fn an_application_that_does_not_start_says_why() {
    let ended = showcase()
        .set("showcase.boot_fault", "error")
        .run(Duration::from_secs(60));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the worker was told not to start"));
}
