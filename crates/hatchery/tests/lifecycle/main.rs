//! The hooks of real processes: this executable is the application, too, when the variable `SCRIPT`
//! says how its hooks behave.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod written;

use std::process::ExitCode;
use std::time::Duration;

use hatchery::config::Config;
use hatchery::routing::{get, post};
use hatchery::testing::{Cluster, ClusterBuilder, Process, SOON, Signal, wait_for, wait_until};
use hatchery::{App, Application, Boot, BootRole, BoxError, Package, Role, Router};

/// How the application behaves.
const SCRIPT: &str = "SCRIPT";

/// The application's hooks. They write what they do, with the process that does it.
struct Hooks(String);

impl Hooks {
    fn says(&self, app: &Application, hook: &str) {
        let who = match app.identity().role {
            Role::Agent => "agent".to_owned(),
            _ => format!("worker {}", app.identity().instance),
        };
        eprintln!("HOOK {who} {hook} ({})", self.0);
    }
}

#[derive(Debug)]
struct NoDatabase(std::io::Error);

impl std::fmt::Display for NoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no database")
    }
}

impl std::error::Error for NoDatabase {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Boot for Hooks {
    fn config_will_load(&self, config: &mut Config) -> Result<(), BoxError> {
        if self.0 == "dumps" {
            config.set("shop.rate", 7)?;
        }
        Ok(())
    }

    async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
        self.says(app, "did_load");
        if self.0 == "dumps" {
            written::take_dump_away(app)?;
        }
        if self.0 == "fails" && app.identity().role == Role::Worker {
            let refused = std::io::Error::other("connection refused");
            return Err(Box::new(NoDatabase(refused)));
        }
        if self.0 == "slow" && app.identity().role == Role::Worker {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if self.0 == "never ready" && app.identity().role == Role::Worker {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn did_ready(&self, app: &Application) -> Result<(), BoxError> {
        if self.0 == "slow" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.says(app, "did_ready");
        if self.0 == "not ready" {
            return Err("no cache".into());
        }
        Ok(())
    }

    async fn server_did_ready(&self, app: &Application) -> Result<(), BoxError> {
        self.says(app, "server_did_ready");
        Ok(())
    }

    async fn before_close(&self, app: &Application) -> Result<(), BoxError> {
        self.says(app, "before_close");
        if self.0 == "lingers" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

fn app(script: &str) -> App {
    let package = Package {
        name: "hooked",
        ..hatchery::package!()
    };
    App::new(package)
        .boot(BootRole::Both, Hooks(script.to_owned()))
        .section::<serde_json::Value>("shop")
        .router(|_| {
            Ok(Router::new()
                .route("/", get(async || "here"))
                .route("/register", post(written::register)))
        })
}

fn pool(script: &str) -> ClusterBuilder {
    let executable = std::env::current_exe().expect("this executable has a path");
    Cluster::of(executable)
        .name("hooked")
        .variable(SCRIPT, script)
        .workers(2)
}

/// 32, 36: hooks run in agent and workers, and a stop runs the last one of each.
fn semantic_32_agent_and_workers_run_their_hooks_and_close() {
    let mut pool = pool("orderly").start();
    let output = pool.output().clone();
    wait_for("all have heard of it", SOON, || {
        (output.text().matches("server_did_ready").count() == 3).then_some(())
    });
    let instances: Vec<_> = pool.status().workers.iter().map(|w| w.instance).collect();
    for instance in instances {
        let position = |hook: &str| {
            let line = format!("HOOK worker {instance} {hook} ");
            output
                .position(&[&line])
                .unwrap_or_else(|| panic!("{line}: {}", output.text()))
        };
        assert!(position("did_load") < position("did_ready"));
        assert!(position("did_ready") < position("server_did_ready"));
    }
    let record = pool.run_dir().join("application_timing.json");
    let record = std::fs::read_to_string(record).expect("slot 0 has written it");
    assert!(record.contains("\"kind\": \"did_load\""), "{record}");
    assert!(pool.run_dir().join("agent_timing.json").exists());
    pool.stop();
    wait_until("all have closed", SOON, || {
        output.text().matches("before_close").count() == 3
    });
    // Workers first, the agent last.
    let closed: Vec<_> = output.lines();
    let last = closed.iter().rfind(|line| line.contains("before_close"));
    assert!(
        last.is_some_and(|line| line.contains("HOOK agent")),
        "{last:?}"
    );
}

/// 34: a slow hook is named, and goes on.
fn semantic_34_a_slow_hook_is_named_and_not_fatal() {
    let mut pool = pool("slow").set("boot.ready_timeout", "100ms").start();
    let output = pool.output().clone();
    let expected = "application hooked: did_load of lifecycle::Hooks \
                    (crates/hatchery/tests/lifecycle/main.rs:";
    wait_until(expected, SOON, || {
        output.has(&[expected, ") still runs after 100ms"])
    });
    assert_eq!(pool.get("/").text(), "here");
    pool.stop();
}

/// 35, 36: a failed `did_load` ends the start with its causes and with 1, and what was begun is
/// closed.
fn semantic_35_36_a_failed_did_load_ends_the_start() {
    let ended = pool("fails").workers(1).run(SOON);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let lines = ended.stderr;
    let expected = "cannot start: application hooked: did_load of lifecycle::Hooks \
                    (crates/hatchery/tests/lifecycle/main.rs:";
    let line = lines.lines().find(|line| line.contains(expected));
    let line = line.unwrap_or_else(|| panic!("{lines}"));
    assert!(
        line.ends_with("): no database: connection refused"),
        "{line}"
    );
    let closed = lines
        .lines()
        .any(|line| line.contains("HOOK worker") && line.contains("before_close"));
    assert!(closed, "{lines}");
}

/// 35: a failed `did_ready` is told, and the process goes on serving.
fn semantic_35_a_failed_did_ready_keeps_nobody_from_serving() {
    let mut pool = pool("not ready").start();
    let output = pool.output().clone();
    wait_for("it is told", SOON, || {
        output
            .has(&["did_ready of lifecycle::Hooks", "): no cache"])
            .then_some(())
    });
    assert_eq!(pool.get("/").text(), "here");
    assert!(pool.exits().is_empty());
    pool.stop();
}

/// The second weakness of Egg's `serverDidReady`: a replacement heard of the pool before it was
/// ready itself.
fn a_replacement_hears_of_the_pool_after_its_own_readiness_and_once() {
    let mut pool = pool("slow").start();
    let output = pool.output().clone();
    let victim = pool.kill(1);
    let status =
        pool.wait_until(|status| status.is_whole(2) && !status.pids().contains(&victim.pid));
    let instance = status
        .workers
        .iter()
        .map(|worker| worker.instance)
        .max()
        .unwrap_or(0);
    let who = format!("HOOK worker {instance} ");
    wait_for("it has heard of it", SOON, || {
        output.has(&[&who, " server_did_ready "]).then_some(())
    });
    let hooks: Vec<_> = output
        .lines()
        .into_iter()
        .filter(|line| line.contains(&who))
        .collect();
    assert_eq!(hooks.len(), 3, "{hooks:?}");
    for (line, hook) in hooks
        .iter()
        .zip([" did_load ", " did_ready ", " server_did_ready "])
    {
        assert!(line.contains(hook), "{hooks:?}");
    }
    pool.stop();
}

/// A `before_close` that does not end is named.
fn a_before_close_that_does_not_end_is_named() {
    let mut pool = pool("lingers").set("boot.close_timeout", "100ms").start();
    let output = pool.output().clone();
    pool.stop();
    let expected = "application hooked: before_close of lifecycle::Hooks";
    wait_until(expected, SOON, || {
        output.has(&[expected, ") has not ended within 100ms"])
    });
}

/// A process that is told to end while it starts closes what it has begun.
fn a_start_that_is_stopped_closes_what_it_has_begun() {
    let mut pool = pool("never ready").launch();
    let output = pool.output().clone();
    let count = |hook: &str| output.text().matches(hook).count();
    wait_until("agent and workers have begun", SOON, || {
        count(" did_load ") == 3
    });
    pool.master().signal(Signal::TERM);
    pool.wait_master(SOON);
    pool.assert_gone();
    wait_until("all have closed", SOON, || count(" before_close ") == 3);
    wait_until("all have ended by themselves", SOON, || {
        count("stop, exit code 0") == 3
    });
    wait_until("they say so", SOON, || {
        output.has(&["worker 0", "told to end before it was ready"])
    });
}

/// So it is when somebody else than the master says so: the start has failed then.
fn a_worker_that_is_told_to_leave_while_it_starts_closes_and_fails_the_start() {
    let mut pool = pool("never ready").workers(1).launch();
    let output = pool.output().clone();
    wait_until("it has begun", SOON, || {
        output.has(&["HOOK worker", " did_load "])
    });
    let pid = pool.status().workers[0].pid;
    let worker = Process::of(pid).expect("it starts");
    worker.signal(Signal::TERM);
    assert_eq!(pool.wait_master(SOON).code(), Some(1));
    pool.assert_gone();
    for expected in [" before_close ", "told to leave before it was ready"] {
        wait_until(expected, SOON, || output.has(&["worker", expected]));
    }
}

type Test = (&'static str, fn());

const TESTS: [Test; 10] = [
    (
        "semantic_24_dumps_are_written_early_and_again_when_it_is_ready",
        written::semantic_24_dumps_are_written_early_and_again_when_it_is_ready,
    ),
    (
        "semantic_32_agent_and_workers_run_their_hooks_and_close",
        semantic_32_agent_and_workers_run_their_hooks_and_close,
    ),
    (
        "semantic_34_a_slow_hook_is_named_and_not_fatal",
        semantic_34_a_slow_hook_is_named_and_not_fatal,
    ),
    (
        "semantic_35_36_a_failed_did_load_ends_the_start",
        semantic_35_36_a_failed_did_load_ends_the_start,
    ),
    (
        "semantic_35_a_failed_did_ready_keeps_nobody_from_serving",
        semantic_35_a_failed_did_ready_keeps_nobody_from_serving,
    ),
    (
        "semantic_44_lines_of_work_after_the_response_say_which_request_it_was",
        written::semantic_44_lines_of_work_after_the_response_say_which_request_it_was,
    ),
    (
        "a_replacement_hears_of_the_pool_after_its_own_readiness_and_once",
        a_replacement_hears_of_the_pool_after_its_own_readiness_and_once,
    ),
    (
        "a_before_close_that_does_not_end_is_named",
        a_before_close_that_does_not_end_is_named,
    ),
    (
        "a_start_that_is_stopped_closes_what_it_has_begun",
        a_start_that_is_stopped_closes_what_it_has_begun,
    ),
    (
        "a_worker_that_is_told_to_leave_while_it_starts_closes_and_fails_the_start",
        a_worker_that_is_told_to_leave_while_it_starts_closes_and_fails_the_start,
    ),
];

/// The application where a pool of these tests has started it, else the tests that are asked for.
fn main() -> ExitCode {
    if let Ok(script) = std::env::var(SCRIPT) {
        return app(&script).run();
    }
    let words: Vec<_> = std::env::args().skip(1).collect();
    let filters: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
    if words.iter().any(|word| word == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let asked = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(*f));
    let mut failed = 0;
    for (name, test) in TESTS.into_iter().filter(|(name, _)| asked(name)) {
        let ended = std::panic::catch_unwind(test);
        let verdict = if ended.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {verdict}");
        failed += usize::from(ended.is_err());
    }
    if failed > 0 {
        println!("{failed} failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
