//! Every death has a report: why, what it was doing, and what it has cost.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::crash::{connection, strike};
use crate::hang::{hang_by_request, watchful};
use crate::support::{
    Cluster, Group, Process, REQUEST_LIMIT, Request, SOON, showcase, wait_for, wait_until,
};

/// All reports, as the command line tells them.
fn exits(pool: &Cluster) -> Vec<Value> {
    let text = pool.cli_ok(&["exits", "--json"]).stdout;
    serde_json::from_str(&text).unwrap()
}

/// The report of a process, as soon as it is there.
fn exit_of(pool: &Cluster, pid: u32) -> Value {
    wait_for("its exit report", SOON, || {
        exits(pool).into_iter().find(|exit| exit["pid"] == pid)
    })
}

/// The paths of the requests in flight, in the report's order.
fn paths(exit: &Value) -> Vec<&str> {
    let requests = exit["in_flight"].as_array().unwrap().iter();
    requests.map(|one| one["path"].as_str().unwrap()).collect()
}

/// The lines of a field that has several.
fn lines<'a>(exit: &'a Value, field: &str) -> Vec<&'a str> {
    let lines = exit[field].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap()).collect()
}

#[test]
fn each_end_is_named_and_counted() {
    let pool = showcase().start();
    assert_eq!(pool.cli_ok(&["exits"]).stdout, "no process has ended");
    assert_eq!(pool.cli_ok(&["exits", "--json"]).stdout, "[]");
    let table = [
        ("abort", "signal", json!(null), json!("SIGABRT")),
        ("segv", "signal", json!(null), json!("SIGSEGV")),
        ("exit", "clean", json!(0), json!(null)),
        ("exit?code=3", "exit", json!(3), json!(null)),
    ];
    for (fault, reason, code, signal) in &table {
        let pid = strike(&pool, fault);
        let exit = exit_of(&pool, pid);
        assert_eq!(exit["reason"], *reason, "{exit:#}");
        assert_eq!((&exit["exit_code"], &exit["signal"]), (code, signal));
        assert_eq!(exit["role"], "worker");
        assert_eq!(
            exit["requests_cut"], 1,
            "the one that asked for it: {exit:#}"
        );
        assert_eq!(exit["connections_cut"], 1, "{exit:#}");
        assert!(exit["rss_bytes"].as_u64().unwrap() > 1 << 20, "{exit:#}");
        pool.wait_whole(SOON);
    }
    let losses = pool.losses();
    assert_eq!(
        (&losses["requests"], &losses["connections"]),
        (&json!(4), &json!(4))
    );
    let signals = json!({"requests": 2, "connections": 2});
    assert_eq!(losses["by_cause"]["signal"], signals);
    let shown = pool.cli_ok(&["status"]).stdout;
    assert!(
        shown.contains("lost since the start: 4 requests"),
        "{shown}"
    );
}

#[test]
fn a_killed_worker_tells_what_it_was_doing_and_said() {
    let pool = showcase().start();
    let (pid, mut panics) = connection(&pool);
    let panic = panics.request(&Request::post("/faults/panic", ""), SOON);
    assert_eq!(panic.unwrap().status, 500);
    panics
        .send(&Request::get("/slow?ms=60000&who=first"))
        .unwrap();
    pool.wait_status("it is in flight", SOON, |status| {
        status
            .ready()
            .any(|worker| worker.pid == pid && worker.in_flight == 1)
    });
    Process::of(pid).unwrap().signal(Signal::KILL);
    let exit = exit_of(&pool, pid);
    assert_eq!(
        (&exit["reason"], &exit["signal"]),
        (&json!("signal"), &json!("SIGKILL"))
    );
    assert_eq!(exit["requests_cut"], 1, "{exit:#}");
    assert_eq!(
        exit["panic"],
        Value::Null,
        "a caught panic is not why it died"
    );
    assert_eq!(paths(&exit), ["/slow"], "{exit:#}");
    assert_eq!(
        exit["in_flight"][0]["running"], false,
        "it sleeps: {exit:#}"
    );
    let stderr = exit["stderr"].to_string();
    assert!(stderr.contains("a panic was asked for"), "{exit:#}");
    let text = pool.cli_ok(&["exits"]).stdout;
    assert!(
        text.contains("signal 9 (SIGKILL)") && text.contains("1 request and 1"),
        "{text}"
    );
    let line = format!("pid {pid} generation 1 is gone after");
    assert!(pool.output().has(&[
        &line,
        "signal 9 (SIGKILL)",
        "1 request and 1 connection cut"
    ]));
}

#[test]
fn planned_ends_have_reports_too_and_cost_nothing() {
    let mut pool = showcase().set("cluster.lifetime", "2s").start();
    let (_, mut idle) = connection(&pool);
    let has =
        |pool: &Cluster, reason: &str| exits(pool).iter().any(|exit| exit["reason"] == reason);
    wait_until("one is recycled", SOON, || has(&pool, "lifetime"));
    pool.set("cluster.lifetime", "0s");
    pool.cli_ok(&["reload"]);
    pool.cli_ok(&["scale", "1"]);
    wait_until("the rest is gone", SOON, || has(&pool, "scale"));
    pool.wait_whole(SOON);
    let ended = exits(&pool);
    let agent = ended.iter().find(|exit| exit["role"] == "agent").unwrap();
    assert_eq!(
        (&agent["reason"], &agent["slot"]),
        (&json!("reload"), &Value::Null)
    );
    assert!(!idle.is_closed() || pool.losses()["requests"] == 0);
    assert_eq!(
        pool.losses(),
        json!({"requests": 0, "connections": 0, "by_cause": {}})
    );

    let count = ended.len();
    pool.stop();
    // Nobody runs any more: the file tells, also those that ended with the pool.
    let ended = exits(&pool);
    assert_eq!(ended.len(), count + 2, "the last worker and the agent");
    let last: Vec<_> = ended[count..].iter().map(|exit| &exit["reason"]).collect();
    assert_eq!(last, ["stop", "stop"]);

    // The next master goes on where that one ended.
    pool.launch();
    pool.wait_started();
    let pid = strike(&pool, "abort");
    exit_of(&pool, pid);
    assert_eq!(exits(&pool).len(), count + 3);
}

#[test]
fn a_failed_boot_is_reported_with_its_reason() {
    let pool = showcase()
        .set("cluster.workers", 1)
        .set("showcase.boot_fault_file", "fault")
        .start();
    std::fs::write(pool.base().join("fault"), "panic").unwrap();
    let pid = pool.status().worker(0).unwrap().pid;
    Process::of(pid).unwrap().signal(Signal::KILL);
    let boot = wait_for("a failed boot", SOON, || {
        exits(&pool)
            .into_iter()
            .find(|exit| exit["reason"] == "boot")
    });
    let summary = boot["summary"].as_str().unwrap();
    assert!(summary.contains("the worker was told to panic"), "{boot:#}");
    std::fs::write(pool.base().join("fault"), "").unwrap();
    pool.wait_whole(SOON + Duration::from_secs(30));
}

#[test]
fn what_a_drain_cuts_at_its_end_is_counted() {
    let pool = showcase().set("cluster.drain_timeout", "1s").start();
    let (pid, mut slow) = connection(&pool);
    slow.send(&Request::get("/slow?ms=60000")).unwrap();
    pool.wait_status("it is in flight", SOON, |status| {
        status
            .ready()
            .any(|worker| worker.pid == pid && worker.in_flight == 1)
    });
    pool.cli_ok(&["reload"]);
    let exit = exit_of(&pool, pid);
    assert_eq!(
        (&exit["reason"], &exit["requests_cut"]),
        (&json!("reload"), &json!(1)),
        "{exit:#}"
    );
    assert_eq!(pool.losses()["by_cause"]["reload"]["requests"], 1);
}

/// Hangs a worker beside another request of it, and reads the report of its end.
fn report_of_hang(pool: &Cluster, fault: &str) -> Value {
    let (pid, hung) = hang_by_request(pool, fault);
    let exit = exit_of(pool, pid);
    drop(hung);
    assert_eq!(
        (&exit["reason"], &exit["pid"]),
        (&json!("hang"), &json!(pid)),
        "{exit:#}"
    );
    assert_eq!(paths(&exit), [format!("/faults/{fault}")], "{exit:#}");
    assert_eq!(exit["in_flight"][0]["running"], true, "{exit:#}");
    assert!(
        exit["in_flight"][0]["age_ms"].as_u64().unwrap() >= 2000,
        "{exit:#}"
    );
    assert_eq!(exit["requests_cut"], 1, "{exit:#}");
    let summary = exit["summary"].as_str().unwrap();
    assert!(summary.contains("silent for"), "{summary}");
    assert!(
        summary.contains(&format!("POST /faults/{fault}")),
        "{summary}"
    );
    exit
}

#[test]
fn a_stopped_worker_is_known_to_be_stopped() {
    let pool = watchful().start();
    let pid = pool.status().worker(1).unwrap().pid;
    Process::of(pid).unwrap().signal(Signal::STOP);
    let exit = exit_of(&pool, pid);
    let summary = exit["summary"].as_str().unwrap();
    assert!(
        summary.contains("stopped by a signal from outside"),
        "{exit:#}"
    );
    assert!(
        lines(&exit, "evidence")
            .iter()
            .all(|line| line.contains("is stopped"))
    );
}

#[test]
fn an_allocation_that_fails_is_want_of_memory() {
    let pool = showcase().start();
    let (pid, mut connection) = connection(&pool);
    let process = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap());
    let limit = rustix::process::Rlimit {
        current: Some(1 << 30),
        maximum: Some(1 << 30),
    };
    rustix::process::prlimit(process, rustix::process::Resource::As, limit).unwrap();
    let leak = Request::post("/faults/leak?mb=1500", "");
    connection.request(&leak, REQUEST_LIMIT).unwrap_err();
    let exit = exit_of(&pool, pid);
    assert_eq!(
        (&exit["reason"], &exit["signal"]),
        (&json!("oom"), &json!("SIGABRT")),
        "{exit:#}"
    );
    assert_eq!(paths(&exit), ["/faults/leak"]);
    assert!(
        exit["summary"]
            .as_str()
            .unwrap()
            .contains("an allocation failed"),
        "{exit:#}"
    );
    pool.wait_whole(SOON);
}

#[test]
fn a_hung_worker_names_the_request_and_what_its_thread_did() {
    let pool = watchful().start();
    let exit = report_of_hang(&pool, "spin");
    let evidence = lines(&exit, "evidence");
    assert!(evidence[0].contains("runs"), "{exit:#}");
    let pid = u32::try_from(exit["pid"].as_u64().unwrap()).unwrap();
    names_the_fault(&pool, pid, "spin");
    pool.wait_whole(SOON);
    let exit = report_of_hang(&pool, "block");
    let evidence = lines(&exit, "evidence");
    assert!(
        evidence.iter().any(|line| line.contains("sleeps")),
        "{exit:#}"
    );
}

/// The stack, its summary and its event name the handler that had the thread.
fn names_the_fault(pool: &Cluster, pid: u32, fault: &str) {
    let handler = format!("showcase::app::controller::faults::{fault}");
    let place = format!("blocked in {handler}");
    // The names of its stack may come after its death.
    let exit = wait_for("the stack has names", SOON, || {
        let exit = exit_of(pool, pid);
        exit["summary"].as_str()?.contains(&place).then_some(exit)
    });
    let stack = lines(&exit, "stack");
    assert!(stack.iter().any(|line| line.contains(&handler)), "{exit:#}");
    let summary = exit["summary"].as_str().unwrap();
    assert!(
        summary.contains(&format!("by POST /faults/{fault}")),
        "{exit:#}"
    );
    // Not every instruction of a loop has a line.
    assert!(summary.contains("faults.rs"), "{exit:#}");
    let events = pool.cli_ok(&["events"]).stdout;
    let is_told = |line: &str| line.contains("  stack ") && line.contains(&place);
    assert!(events.lines().any(is_told), "{events}");
}

#[test]
fn a_panic_that_ends_a_worker_is_told_with_its_place() {
    let pool = showcase().start();
    let pid = strike(&pool, "panic-twice");
    let exit = exit_of(&pool, pid);
    assert_eq!(exit["reason"], "panic", "{exit:#}");
    assert_eq!(exit["signal"], "SIGABRT", "{exit:#}");
    let panic = exit["panic"].as_str().unwrap();
    assert!(panic.contains("panic was asked for"), "{exit:#}");
    assert!(panic.contains("faults.rs:"), "{exit:#}");
    assert_eq!(paths(&exit), ["/faults/panic-twice"]);
    pool.wait_whole(SOON);
}

#[test]
fn a_crash_names_the_place_once_its_names_are_there() {
    let pool = showcase().start();
    for fault in ["segv", "abort"] {
        let pid = strike(&pool, fault);
        let handler = format!("showcase::app::controller::faults::{fault}");
        let exit = wait_for("the stack has names", SOON, || {
            let exit = exit_of(&pool, pid);
            let summary = exit["summary"].as_str().unwrap();
            summary
                .contains(&format!("crashed in {handler}"))
                .then_some(exit)
        });
        assert!(
            lines(&exit, "stack")
                .iter()
                .any(|line| line.contains(&handler))
        );
        assert_eq!(
            exits(&pool).iter().filter(|one| one["pid"] == pid).count(),
            1
        );
        pool.wait_whole(SOON);
    }
}

#[test]
fn what_the_kernel_kills_for_want_of_memory_is_told_from_other_kills() {
    const LIMIT: u64 = 400 << 20;
    let Some(group) = Group::limited(LIMIT) else {
        return;
    };
    let pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.memory_soft", "0B")
        .control_group(group.procs())
        .start();
    let (pid, mut connection) = connection(&pool);
    let leak = Request::post("/faults/leak?mb=600", "");
    connection.request(&leak, REQUEST_LIMIT).unwrap_err();
    let exit = exit_of(&pool, pid);
    assert_eq!(
        (&exit["reason"], &exit["signal"]),
        (&json!("oom"), &json!("SIGKILL")),
        "{exit:#}"
    );
    assert_eq!(paths(&exit), ["/faults/leak"]);
    assert!(exit["rss_bytes"].as_u64().unwrap() > LIMIT / 2, "{exit:#}");
    assert_eq!(pool.wait_whole(SOON).workers.len(), 2);
    // A kill by hand right after it is none.
    let other = pool.status().worker(0).unwrap().pid;
    Process::of(other).unwrap().signal(Signal::KILL);
    assert_eq!(exit_of(&pool, other)["reason"], "signal");
    drop(pool);
}
