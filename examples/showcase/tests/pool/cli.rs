//! The command line: every verb waits until it is true, and says so with its exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Cluster, Ended, Process, Request, SOON, file_identity, free_port, showcase, wait_until,
};

#[test]
fn status_as_json_is_the_contract() {
    let pool = showcase().start();
    let ended = pool.cli_ok(&["status", "--json"]);
    let status: Value = serde_json::from_str(&ended.stdout).expect("one JSON document");
    let keys = |value: &Value| {
        let keys = value.as_object().unwrap().keys();
        keys.cloned().collect::<Vec<_>>()
    };
    for (value, wanted) in [
        (
            &status,
            vec![
                "app",
                "env",
                "version",
                "state",
                "generation",
                "listen",
                "master",
                "agent",
                "workers",
            ],
        ),
        (&status["master"], vec!["pid", "rss_bytes", "uptime_ms"]),
        (
            &status["agent"],
            vec!["pid", "state", "uptime_ms", "restarts"],
        ),
        (
            &status["workers"][3],
            vec![
                "slot",
                "instance",
                "pid",
                "state",
                "generation",
                "uptime_ms",
                "restarts",
                "rss_bytes",
                "in_flight",
                "connections",
                "requests_total",
                "heartbeat_age_ms",
            ],
        ),
    ] {
        for key in wanted {
            assert!(
                !value[key].is_null(),
                "{key} is missing in {:?}",
                keys(value)
            );
        }
    }
    assert_eq!(status["app"], "showcase");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["state"], "ready");
    assert_eq!(
        status["listen"],
        json!([format!("127.0.0.1:{}", pool.port())])
    );
    assert_eq!(status["master"]["pid"], pool.master().pid);

    // The counters count.
    for _ in 0..20 {
        pool.ask(&Request::get("/hello").close());
    }
    pool.wait_status("the requests are counted", SOON, |status| {
        status
            .workers
            .iter()
            .map(|worker| worker.requests_total)
            .sum::<u64>()
            == 20
    });
    for worker in pool.status().workers {
        assert!(worker.heartbeat_age_ms < 5_000, "{worker:?}");
        assert_eq!(worker.in_flight, 0);
    }
    let status = pool.status();
    assert!(status.master.rss_bytes > 100_000 && status.master.uptime_ms > 0);
    let human = pool.cli_ok(&["status"]).stdout;
    assert!(
        human.contains("showcase") && human.contains("ready"),
        "{human}"
    );
}

#[test]
fn the_control_socket_is_private() {
    let pool = showcase().set("cluster.workers", 1).start();
    let mode = fs::metadata(pool.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_daemon_returns_when_it_serves_and_stop_when_it_is_gone() {
    let pool = showcase().set("showcase.boot_delay", "300ms").prepare();
    let started = pool.command(&["start", "--daemon"], SOON);
    assert_eq!(started.code, Some(0), "{started:?}");
    let status = pool.try_status().expect("it is there");
    assert!(status.is_whole(4), "{status:#?}");
    assert_eq!(pool.ask(&Request::get("/hello")).text(), "Hello, Hatchery");
    let master = Process::of(status.master.pid).unwrap();
    assert_ne!(
        master.group(),
        Process::of(std::process::id()).unwrap().group()
    );
    let log = fs::read_to_string(pool.run_dir().join("showcase.log")).unwrap();
    assert!(log.contains("pool: starting -> ready"), "{log}");

    pool.cli_ok(&["restart"]);
    let restarted = pool.wait_whole(SOON);
    assert_eq!(restarted.master.pid, status.master.pid);
    assert!(restarted.pids().is_disjoint(&status.pids()));

    let stopped = pool.cli_ok(&["stop"]);
    assert!(!master.is_alive(), "{stopped:?}");
    assert!(pool.processes().is_empty(), "gone when `stop` returns");
    let again = pool.cli(&["stop"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(!again.stderr.is_empty());
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let in_use = showcase().set("cluster.workers", 1).start();
    let address = format!("127.0.0.1:{}", in_use.port());
    for (builder, reason) in [
        (
            showcase().set("showcase.boot_fault", "error"),
            "the worker was told not to start",
        ),
        (showcase().set("showcase.boot_fault", "exit"), "exit code 3"),
        (
            showcase().set("showcase.agent_fault", "error"),
            "the agent was told not to start",
        ),
        (
            showcase().set("listen.addresses", json!([address])),
            "in use",
        ),
        (showcase().set("listen.adresses", json!([])), "addresses"),
    ] {
        let ended = builder.argument("--daemon").run(SOON);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(reason), "no {reason:?} in {ended:?}");
    }
}

#[test]
fn check_reports_and_starts_nothing() {
    // The port is in use by the running pool: a check does not need it.
    let mut pool = showcase().set("cluster.workers", 1).start();
    let before = pool.processes();
    let good = pool.command(&["--check"], SOON);
    assert_eq!(good.code, Some(0), "{good:?}");
    pool.set("cluster.hang_timeout", "soon");
    let bad = pool.command(&["--check"], SOON);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(bad.stderr.contains("config.default.toml:"), "{bad:?}");
    assert!(bad.stderr.contains("hang_timeout"), "{bad:?}");
    assert_eq!(pool.processes(), before);
}

#[test]
fn one_process_serves_without_a_master() {
    let mut pool = showcase().argument("--single").prepare();
    pool.launch();
    wait_until("it serves", SOON, || {
        pool.try_ask(&Request::get("/hello")).is_ok()
    });
    assert_eq!(pool.processes().len(), 1);
    let whoami = pool.ask(&Request::get("/whoami")).json();
    assert_eq!(whoami["pid"], pool.master().pid);

    let mut slow = crate::support::Connection::open(&pool.target(), SOON).unwrap();
    slow.request(&Request::get("/hello"), SOON).unwrap();
    slow.send(&Request::get("/slow?ms=500")).unwrap();
    // What comes after it on another connection shows that it was read.
    pool.ask(&Request::get("/hello"));
    pool.master().signal(Signal::TERM);
    assert_eq!(slow.receive(SOON).unwrap().status, 200);
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
    pool.assert_gone();
}

#[test]
fn a_restart_runs_the_binary_on_disk_under_the_same_pid() {
    let mut pool = showcase().start();
    let before = pool.status();
    pool.replace_executable_by_twin();
    pool.set("showcase.greeting", "Hello after the restart");
    pool.cli_ok(&["restart"]);
    let after = pool.wait_whole(SOON);
    assert!(pool.is_running());
    assert_eq!(
        after.master.pid, before.master.pid,
        "service managers see no change"
    );
    assert!(after.pids().is_disjoint(&before.pids()));
    let on_disk = file_identity(&pool.executable());
    for process in pool.processes() {
        assert_eq!(process.executable(), on_disk, "{process:?}");
    }
    assert_eq!(
        pool.ask(&Request::get("/hello")).text(),
        "Hello after the restart"
    );
}

#[test]
fn a_restart_to_what_does_not_pass_its_check_changes_nothing() {
    let mut pool = showcase().set("cluster.workers", 2).start();
    let before = pool.status();
    pool.set("cluster.hang_timeout", "soon");
    let ended = pool.cli(&["restart"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("hang_timeout"), "{ended:?}");
    assert_eq!(pool.wait_whole(SOON).pids(), before.pids());
}

#[test]
fn list_finds_this_users_applications_and_forgets_the_dead() {
    let registry = tempfile::tempdir().unwrap();
    let directory = registry.path().to_str().unwrap();
    let start = || {
        showcase()
            .set("cluster.workers", 1)
            .set("cluster.orphan_grace", "0s")
            .variable("HATCHERY_REGISTRY", directory)
            .start()
    };
    let (mut first, mut second) = (start(), start());
    let (one, two) = (
        first.master().pid.to_string(),
        second.master().pid.to_string(),
    );
    let listed = first.cli_ok(&["list"]).stdout;
    for pid in [&one, &two] {
        assert!(
            listed
                .lines()
                .any(|line| line.contains("showcase") && line.contains(pid))
        );
    }

    // Stopping one never touches the other.
    let before = second.status();
    first.cli_ok(&["stop"]);
    first.wait_master(SOON);
    first.assert_gone();
    let after = second.status();
    assert_eq!(after.instances(), before.instances());
    assert_eq!(second.ask(&Request::get("/hello")).status, 200);
    let listed = second.cli_ok(&["list"]).stdout;
    assert!(!listed.contains(&one) && listed.contains(&two), "{listed}");

    // A dead one vanishes, together with its entry.
    second.master().signal(Signal::KILL);
    second.wait_master(SOON);
    second.assert_gone();
    assert_eq!(
        fs::read_dir(registry.path()).unwrap().count(),
        1,
        "its entry is left"
    );
    let listed = second.cli_ok(&["list"]).stdout;
    assert!(!listed.contains(&two), "{listed}");
    assert_eq!(
        fs::read_dir(registry.path()).unwrap().count(),
        0,
        "its entry is gone"
    );
}

#[test]
fn an_application_is_found_by_its_name() {
    let pool = showcase().set("cluster.workers", 1).start();
    let by_name = |name: &str| {
        let mut command = pool.bare_command();
        command
            .current_dir("/")
            .args(["status", "--json", "--app", name]);
        Ended::of(command, SOON)
    };
    let found = by_name("showcase");
    assert_eq!(found.code, Some(0), "{found:?}");
    let status: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(status["master"]["pid"], pool.master().pid);
    let missing = by_name("nobody");
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("nobody"), "{missing:?}");
}

#[test]
fn usage_errors_are_told_from_failures() {
    let pool = showcase().prepare();
    for arguments in [
        &["dance"][..],
        &["--no-such-flag"],
        &["scale"],
        &["start", "--workers", "none"],
        &["start", "--listen"],
    ] {
        let ended = pool.command(arguments, SOON);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
    for verb in ["status", "stop", "reload", "restart"] {
        let ended = pool.cli(&[verb]);
        assert_eq!(ended.code, Some(1), "{verb} of nothing: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{verb}");
    }
    let help = pool.command(&["--help"], SOON);
    assert_eq!(help.code, Some(0), "{help:?}");
    assert!(help.stdout.contains("reload"), "{help:?}");
}

#[test]
fn flags_win_over_the_configuration_and_survive_a_reload() {
    let builder = showcase().set("cluster.workers", 1);
    let other = free_port();
    let mut pool = builder
        .argument("--workers")
        .argument("3")
        .argument("--listen")
        .argument(format!("127.0.0.1:{other}"))
        .argument("--title")
        .argument("the showcase's")
        .start();
    let check = |pool: &Cluster| {
        let status = pool.wait_whole(SOON);
        assert_eq!(status.workers_wanted, 3);
        assert_eq!(status.listen, [format!("127.0.0.1:{other}")]);
        let worker = Process::of(status.worker(2).unwrap().pid).unwrap();
        assert_eq!(worker.arguments(), ["the showcase's: worker 2"]);
    };
    check(&pool);
    pool.set("showcase.greeting", "Hello again");
    pool.cli_ok(&["reload"]);
    check(&pool);
}

#[test]
fn the_environment_wins_over_the_configuration() {
    let pool = showcase()
        .variable("HATCHERY__CLUSTER__WORKERS", "2")
        .variable("HATCHERY__SHOWCASE__GREETING", "Hello from outside")
        .start();
    assert_eq!(pool.status().workers_wanted, 2);
    assert_eq!(
        pool.ask(&Request::get("/hello")).text(),
        "Hello from outside"
    );
}

#[test]
fn without_waiting_a_verb_returns_at_once() {
    let mut pool = showcase().set("cluster.drain_timeout", "5s").start();
    let (_, mut slow) = crate::crash::connection(&pool);
    slow.send(&Request::get("/slow?ms=2000")).unwrap();
    pool.wait_status("it is in flight", SOON, |status| {
        status.workers.iter().any(|worker| worker.in_flight > 0)
    });
    let ended = pool.cli_ok(&["stop", "--no-wait"]);
    assert!(ended.took < Duration::from_millis(1500), "{ended:?}");
    assert!(pool.is_running());
    assert_eq!(slow.receive(SOON).unwrap().status, 200);
    assert_eq!(pool.wait_master(SOON).code(), Some(0));
}
