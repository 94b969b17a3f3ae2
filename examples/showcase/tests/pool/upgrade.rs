//! The master replaces its own image: same process, same pool, and nobody notices.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::crash::strike;
use crate::support::{
    Cluster, Load, Output, Plan, Process, REQUEST_LIMIT, Request, SOON, Status, alone,
    file_identity, showcase, wait_for, wait_until,
};

/// Open descriptors of the master.
fn descriptors(pool: &Cluster) -> usize {
    let fds = fs::read_dir(format!("/proc/{}/fd", pool.master().pid)).unwrap();
    fds.count()
}

/// The same processes as before, each in its place.
#[track_caller]
fn is_untouched(before: &Status, after: &Status) {
    assert_eq!(after.master.pid, before.master.pid);
    assert_eq!(after.instances(), before.instances());
    assert_eq!(after.pids(), before.pids());
    assert_eq!(after.generation, before.generation);
    let agent = |status: &Status| status.agent.as_ref().map(|agent| agent.pid);
    assert_eq!(agent(after), agent(before));
}

#[test]
fn twenty_upgrades_under_load_and_nobody_notices() {
    let _alone = alone();
    let pool = showcase().start();
    let before = pool.wait_whole(SOON);
    let load = Load::start(&pool.target(), Plan::BOTH);
    let mut weights = Vec::new();
    for _ in 0..20 {
        let ended = pool.cli_ok(&["upgrade"]);
        assert!(ended.stdout.contains("the master runs"), "{ended:?}");
        load.serve_more(50);
        weights.push((descriptors(&pool), pool.status().master.rss_bytes));
    }
    load.finish().assert_flawless();
    is_untouched(&before, &pool.wait_whole(SOON));
    // The second image has what each later one has, but for who asks just then.
    let (_, bytes) = weights[1];
    let (_, bytes_last) = *weights.last().unwrap();
    assert!(bytes_last < bytes + (2 << 20), "{weights:?}");
    let least = weights.iter().map(|(fds, _)| *fds).min();
    wait_until("no descriptor is left behind", SOON, || {
        Some(descriptors(&pool)) <= least
    });
    assert!(!pool.output().text().contains("ERROR"));
}

#[test]
fn workers_killed_around_an_upgrade_are_buried_by_whichever_image_is_there() {
    let _alone = alone();
    let pool = showcase()
        .set("cluster.crash_budget_per_worker", 50)
        .set("cluster.backoff_initial", "10ms")
        .set("cluster.backoff_max", "10ms")
        .start();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let mut victims = Vec::new();
    for round in 0..6 {
        let slot = round % 4;
        let status = pool.wait_whole(SOON);
        let victim = status.worker(slot).unwrap().pid;
        Process::of(victim).unwrap().signal(Signal::KILL);
        victims.push(victim);
        pool.cli_ok(&["upgrade"]);
        // And once more in the middle of it, wherever that is.
        let victim = pool.wait_whole(SOON).worker(slot).unwrap().pid;
        pool.cli_ok(&["upgrade", "--no-wait"]);
        Process::of(victim).unwrap().signal(Signal::KILL);
        victims.push(victim);
        pool.cli_ok(&["upgrade"]);
        load.serve_more(20);
    }
    load.finish().assert_only_cut_by(&victims, Plan::BOTH);
    let status = pool.wait_whole(SOON);
    assert!(
        status
            .pids()
            .is_disjoint(&victims.iter().copied().collect())
    );
    let text = pool.output().text();
    for victim in victims {
        let end = text.lines().find(|line| {
            line.contains(&format!("pid {victim} ")) && line.contains("is gone after")
        });
        assert!(end.is_some_and(|line| line.contains("signal 9")), "{end:?}");
    }
    // Every one was reaped.
    assert!(
        !pool
            .master()
            .children()
            .iter()
            .any(|child| child.is_zombie())
    );
}

#[test]
fn signals_that_come_while_the_image_changes_wait_for_the_next() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let before = pool.status();
    for _ in 0..10 {
        for _ in 0..3 {
            pool.master().signal(Signal::USR2);
            pool.master().signal(Signal::HUP);
            pool.master().signal(Signal::TTIN);
            pool.master().signal(Signal::TTOU);
        }
        pool.cli_ok(&["upgrade"]);
    }
    let after = pool.wait_status("all reloads are done", SOON, |status| {
        status.is_whole(status.workers_wanted) && status.generation > before.generation
    });
    assert_eq!(after.master.pid, before.master.pid);
    // One that is on its way at any moment of an upgrade stops the pool politely.
    pool.cli_ok(&["upgrade", "--no-wait"]);
    pool.master().signal(Signal::TERM);
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
    pool.assert_gone();
}

/// An upgrade that must be refused: code 1, a reason with `parts` in it, and nothing has changed.
#[track_caller]
fn is_refused(pool: &Cluster, parts: &[&str]) {
    let before = pool.status();
    let image = pool.master().executable();
    let ended = pool.cli(&["upgrade"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in parts {
        assert!(
            ended.stderr.contains(part),
            "no {part:?} in: {}",
            ended.stderr
        );
    }
    is_untouched(&before, &pool.wait_whole(SOON));
    assert_eq!(pool.master().executable(), image);
}

#[test]
fn an_executable_that_cannot_take_over_is_refused_and_nothing_changes() {
    let pool = showcase().set("cluster.workers", 2).start();
    let before = pool.status();
    pool.replace_executable(&fs::read("/bin/false").unwrap());
    is_refused(&pool, &["--check-state", "exit code 1"]);
    // It ends with 0 whatever it is asked, and so proves nothing.
    pool.replace_executable(&fs::read("/bin/true").unwrap());
    is_refused(&pool, &["does not say that it can go on as showcase"]);
    pool.replace_executable(b"\x7fELF, it seems");
    is_refused(&pool, &["--check-state"]);
    fs::remove_file(pool.executable()).unwrap();
    is_refused(&pool, &["--check-state"]);
    pool.replace_executable_by_twin();
    pool.cli_ok(&["upgrade"]);
    is_untouched(&before, &pool.wait_whole(SOON));
    let twin = file_identity(&pool.executable());
    assert_eq!(pool.master().executable(), twin);
}

#[test]
fn the_master_alone_follows_an_upgrade_and_with_the_pool_a_reload() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let old = file_identity(&pool.executable());
    pool.replace_executable_by_twin();
    let new = file_identity(&pool.executable());
    let worker = |pool: &Cluster| {
        let pid = pool.status().worker(0).unwrap().pid;
        Process::of(pid).unwrap().executable()
    };
    pool.cli_ok(&["upgrade"]);
    assert_eq!((pool.master().executable(), worker(&pool)), (new, old));

    pool.set("showcase.greeting", "Hello, everybody");
    let ended = pool.cli_ok(&["reload"]);
    assert!(!ended.stdout.contains("the master runs"), "it does already");
    assert_eq!(worker(&pool), new);

    pool.replace_executable_by_twin();
    let newest = file_identity(&pool.executable());
    let ended = pool.cli_ok(&["reload"]);
    assert!(ended.stdout.contains("the master runs"), "{ended:?}");
    pool.wait_whole(SOON);
    assert_eq!(
        (pool.master().executable(), worker(&pool)),
        (newest, newest)
    );
    assert_eq!(pool.ask(&Request::get("/hello")).text(), "Hello, everybody");
}

#[test]
fn an_upgraded_master_can_do_all_that_it_could() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    pool.cli_ok(&["upgrade"]);
    pool.cli_ok(&["scale", "4"]);
    pool.wait_whole(SOON);
    pool.cli_ok(&["upgrade"]);
    pool.set("showcase.greeting", "Hello, reloaded");
    pool.cli_ok(&["reload"]);
    pool.cli_ok(&["upgrade"]);
    let victim = pool.wait_whole(SOON).worker(1).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    let status = pool.wait_status("slot 1 serves again", SOON, |status| {
        status.is_whole(status.workers_wanted) && !status.pids().contains(&victim)
    });
    assert_eq!(pool.ask(&Request::get("/hello")).text(), "Hello, reloaded");
    let list = pool.cli_ok(&["list"]);
    assert!(list.stdout.contains(&pool.master().pid.to_string()));

    let arguments = pool.master().arguments();
    assert!(arguments.iter().any(|word| word == "--resume-fd"));
    pool.cli_ok(&["restart"]);
    let arguments = pool.master().arguments();
    assert!(!arguments.iter().any(|word| word == "--resume-fd"));
    let again = pool.wait_whole(SOON);
    assert!(again.pids().is_disjoint(&status.pids()));
    assert_eq!(again.generation, 1);
}

#[test]
fn who_waits_for_an_answer_gets_it_from_the_next_image() {
    let pool = showcase().set("cluster.workers", 2).start();
    std::thread::scope(|scope| {
        let several: Vec<_> = (0..4)
            .map(|number| {
                let verb = ["upgrade", "reload"][number % 2];
                scope.spawn(|| pool.cli_ok(&[verb]))
            })
            .collect();
        for one in several {
            one.join().unwrap();
        }
    });
    pool.wait_whole(SOON);
}

/// What a verb tells as JSON.
fn json(pool: &Cluster, verb: &str) -> Vec<Value> {
    let text = pool.cli_ok(&[verb, "--json"]).stdout;
    serde_json::from_str(&text).unwrap_or_else(|_| {
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    })
}

#[test]
fn the_next_image_remembers_silence_deaths_losses_and_events() {
    let pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.suspect_after", "1s")
        .set("cluster.hang_timeout", "3s")
        .start();
    // Its own request is lost with it.
    let victim = strike(&pool, "abort");
    // The client may know of it before the master does.
    pool.wait_status("somebody else serves", SOON, |status| {
        status.is_whole(2) && !status.pids().contains(&victim)
    });
    let hung = pool.worker(0).pid;
    Process::of(hung).unwrap().signal(Signal::STOP);
    let stopped = Instant::now();
    pool.wait_status("it is suspect", SOON, |status| {
        let worker = status.workers.iter().find(|worker| worker.pid == hung);
        worker.is_some_and(|worker| worker.state == "suspect")
    });
    pool.cli_ok(&["upgrade"]);
    let report = wait_for("its report", SOON, || {
        let exits = json(&pool, "exits");
        exits.into_iter().find(|exit| exit["pid"] == hung)
    });
    assert!(stopped.elapsed() >= Duration::from_secs(3), "not too soon");
    assert_eq!(report["reason"], "hang");
    assert_ne!(report["evidence"], json!([]), "{report:#}");

    pool.cli_ok(&["upgrade"]);
    assert_eq!(pool.losses()["requests"], 1);
    let reasons: Vec<_> = json(&pool, "exits")
        .iter()
        .map(|exit| exit["reason"].clone())
        .collect();
    assert_eq!(reasons, ["signal", "hang"]);
    let events = json(&pool, "events");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index + 1, "no gap: {event}");
    }
    let upgrades = events.iter().filter(|event| event["kind"] == "upgrade");
    assert_eq!(upgrades.count(), 2, "{events:#?}");
}

#[test]
fn who_follows_the_events_does_not_notice() {
    let pool = showcase().set("cluster.workers", 2).start();
    let mut command = pool.bare_command();
    command.args(["events", "-f", "--json", "--run-dir"]);
    let mut follower = command
        .arg(pool.run_dir())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = Output::default();
    told.follow(follower.stdout.take().unwrap());
    for _ in 0..3 {
        pool.cli_ok(&["upgrade"]);
    }
    pool.cli_ok(&["reload"]);
    wait_until("the reload is told", SOON, || told.has(&["promoted"]));
    let text = told.text();
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{text}"
    );
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_unix_socket_survives_upgrades() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let builder = showcase();
    let tcp = format!("127.0.0.1:{}", builder.port());
    let unix = format!("unix:{}", path.display());
    let pool = builder
        .set("cluster.workers", 2)
        .set("listen.addresses", vec![tcp, unix])
        .start();
    let target = crate::support::Target::Unix(path.clone());
    let mut pids = BTreeSet::new();
    for _ in 0..3 {
        pool.cli_ok(&["upgrade"]);
        let mut connection = crate::support::Connection::open(&target, REQUEST_LIMIT).unwrap();
        let answer = connection.request(&Request::get("/hello"), REQUEST_LIMIT);
        assert_eq!(answer.unwrap().status, 200);
        pids.insert(pool.master().pid);
    }
    assert_eq!(pids.len(), 1);
    assert!(path.exists());
    drop(pool);
    assert!(!path.exists(), "its file went with the master");
}
