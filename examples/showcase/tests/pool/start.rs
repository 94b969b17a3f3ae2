//! The start: its order, what a child finds, and every way in which it fails.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    ClusterBuilder, Ended, Process, Request, SOON, is_free, showcase, wait_until,
};

/// How long after its detection a failed start may take to end.
const FAILURE_LIMIT: Duration = Duration::from_secs(1);

#[test]
fn the_agent_comes_first_and_then_the_workers() {
    let mut pool = showcase().set("showcase.boot_delay", "300ms").launch();
    let started = Instant::now();
    let status = loop {
        assert!(started.elapsed() < SOON, "the pool is up");
        assert!(pool.is_running(), "the master lives");
        let Some(status) = pool.try_status() else {
            continue;
        };
        let agent = status.agent.as_ref();
        let agent_is_ready = agent.is_some_and(|agent| agent.state == "ready");
        assert!(status.workers.is_empty() || agent_is_ready, "{status:#?}");
        if status.is_whole(4) {
            break status;
        }
        assert_eq!(status.state, "starting", "{status:#?}");
    };

    assert_eq!((status.app.as_str(), status.generation), ("showcase", 1));
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.listen, [format!("127.0.0.1:{}", pool.port())]);
    assert_eq!(status.master.pid, pool.master().pid);
    assert_eq!(status.instances().len(), 4);
    assert!(status.alarms.is_empty());
    for worker in &status.workers {
        assert_eq!((worker.generation, worker.restarts), (1, 0));
        assert!(worker.uptime_ms <= status.agent.as_ref().unwrap().uptime_ms);
        assert!(worker.rss_bytes > 1 << 20, "{worker:?}");
    }

    let position = |parts: &[&str]| {
        wait_until("the log tells it", SOON, || pool.output().has(parts));
        pool.output().position(parts).unwrap()
    };
    let agent = position(&["agent #", "starting -> ready"]);
    let up = position(&["pool: starting -> ready"]);
    for slot in 0..4 {
        let worker = position(&[&format!("worker {slot} #"), "starting -> ready"]);
        assert!(agent < worker && worker < up, "the order in the log");
    }
    position(&["the agent ticks"]);
    let told = position(&["the agent knows that every worker is ready"]);
    for slot in 0..4 {
        let worker = position(&[&format!("worker {slot} #"), "starting -> ready"]);
        assert!(worker < told, "nobody is told before all are ready");
    }
}

#[test]
fn a_child_finds_the_environment_of_the_contract() {
    let pool = showcase()
        .unset("listen.addresses")
        .argument("--listen")
        .argument("127.0.0.1:0")
        .argument("--env")
        .argument("staging")
        .start();
    let status = pool.status();
    assert_eq!(status.env, "staging");
    let base = pool.base().canonicalize().unwrap();
    for worker in &status.workers {
        let process = Process::of(worker.pid).unwrap();
        for (name, value) in [
            ("HATCHERY_ROLE", "worker".to_owned()),
            ("HATCHERY_APP", "showcase".to_owned()),
            ("HATCHERY_ENV", "staging".to_owned()),
            ("HATCHERY_SLOT", worker.slot.to_string()),
            ("HATCHERY_WORKERS", "4".to_owned()),
            ("HATCHERY_INSTANCE", worker.instance.to_string()),
            ("HATCHERY_GENERATION", "1".to_owned()),
            ("LISTEN_FDS", "1".to_owned()),
            ("LISTEN_PID", worker.pid.to_string()),
        ] {
            assert_eq!(process.variable(name), Some(value), "{name}");
        }
        assert!(process.variable("HATCHERY_CONTROL_FD").is_some());
        assert_eq!(process.group(), Some(worker.pid), "its own process group");
        assert_eq!(process.directory(), Some(base.clone()));
        assert_eq!(
            process.arguments(),
            [format!("showcase: worker {}", worker.slot)]
        );
    }
    let agent = Process::of(status.agent.unwrap().pid).unwrap();
    assert_eq!(agent.variable("HATCHERY_ROLE").as_deref(), Some("agent"));
    assert_eq!(agent.variable("HATCHERY_SLOT"), None);
    assert_eq!(agent.arguments(), ["showcase: agent"]);
}

#[test]
fn the_service_manager_is_told_when_the_pool_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut pool = showcase()
        .variable("NOTIFY_SOCKET", path.to_str().unwrap())
        .set("showcase.boot_delay", "200ms")
        .launch();

    let receive = |wanted: &str| {
        let mut buffer = [0; 4096];
        let mut all = String::new();
        while !all.lines().any(|line| line == wanted) {
            let count = socket.recv(&mut buffer).expect(wanted);
            all += &String::from_utf8_lossy(&buffer[..count]);
            all += "\n";
        }
    };
    receive("READY=1");
    assert!(pool.status().is_whole(4), "told when it is true");
    for process in pool.processes() {
        let is_master = process == pool.master();
        assert_eq!(
            process.variable("NOTIFY_SOCKET").is_some(),
            is_master,
            "the master's own"
        );
    }
    pool.stop();
    receive("STOPPING=1");
}

/// The start must fail: code 1, soon after the failure is there, with one line that says all of
/// `parts`, and nothing left.
#[track_caller]
fn fails(builder: ClusterBuilder, detected_after: Duration, parts: &[&str]) -> Ended {
    let port = builder.port();
    let ended = builder.run(SOON);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    // Twice the promise: the processes of other tests run at the same time.
    let limit = detected_after + 2 * FAILURE_LIMIT;
    assert!(
        ended.took < limit,
        "{:?} is too long: {}",
        ended.took,
        ended.stderr
    );
    let clear = ended
        .stderr
        .lines()
        .any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(clear, "no line with {parts:?}:\n{}", ended.stderr);
    assert!(is_free(port), "the port is free again");
    ended
}

#[test]
fn a_boot_error_ends_the_start_with_its_reason() {
    for (fault, reason) in [
        ("error", "the worker was told not to start"),
        ("panic", "the worker was told to panic"),
        ("exit", "exit code 3"),
    ] {
        let builder = showcase().set("showcase.boot_fault", fault);
        fails(builder, Duration::ZERO, &[reason]);
    }
}

#[test]
fn a_worker_that_is_never_ready_is_a_failed_start() {
    let builder = showcase()
        .set("showcase.boot_fault", "hang")
        .set("cluster.ready_timeout", "500ms")
        .set("cluster.abort_grace", "200ms");
    fails(
        builder,
        Duration::from_millis(700),
        &["worker", "not ready"],
    );
}

#[test]
fn an_agent_that_cannot_start_is_a_failed_start() {
    for (fault, reason) in [
        ("error", "the agent was told not to start"),
        ("exit", "exit code 3"),
    ] {
        let builder = showcase().set("showcase.agent_fault", fault);
        let ended = fails(builder, Duration::ZERO, &["agent", reason]);
        assert!(
            !ended.stderr.contains("worker 0"),
            "no worker was started: {}",
            ended.stderr
        );
    }
}

#[test]
fn a_port_in_use_ends_the_start_and_harms_nobody() {
    let first = showcase().start();
    let address = format!("127.0.0.1:{}", first.port());
    for mode in ["slots", "shared"] {
        let builder = showcase()
            .set("listen.addresses", json!([address]))
            .set("listen.mode", mode);
        fails(builder, Duration::ZERO, &[&address, "in use"]);
    }
    assert_eq!(first.ask(&Request::get("/hello")).text(), "Hello, Hatchery");
    assert!(first.status().is_whole(4));
}

#[test]
fn a_bad_configuration_ends_the_start_and_names_the_place() {
    let unknown = showcase().set("cluster.worker", 3);
    fails(
        unknown,
        Duration::ZERO,
        &["config.default.toml:", "worker", "workers"],
    );
    let own = showcase().set("showcase.greetings", "Hi");
    fails(
        own,
        Duration::ZERO,
        &["config.default.toml:", "greetings", "greeting"],
    );
    let bare = showcase().set("cluster.hang_timeout", 10);
    fails(
        bare,
        Duration::ZERO,
        &["config.default.toml:", "hang_timeout"],
    );
    let address = showcase().set("listen.addresses", json!(["nowhere"]));
    fails(address, Duration::ZERO, &["nowhere"]);
}

#[test]
fn a_second_start_in_the_same_place_fails_and_harms_nobody() {
    let pool = showcase().start();
    let before = pool.status();
    let ended = pool.command(&["start"], SOON);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("running already"), "{ended:?}");
    let after = pool.status();
    assert_eq!(after.pids(), before.pids());
    assert_eq!(pool.ask(&Request::get("/hello")).status, 200);
}

#[test]
fn a_start_can_be_interrupted() {
    let mut pool = showcase().set("showcase.boot_delay", "1h").launch();
    pool.wait_status("workers boot", SOON, |status| status.workers.len() == 4);
    pool.master().signal(Signal::TERM);
    pool.wait_master(SOON);
    pool.assert_gone();
}
