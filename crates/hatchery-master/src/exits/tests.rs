//! Which end is called what.

use hatchery_supervisor::{Generation, Slot};

use super::*;

const KILL: Option<ExitStatus> = signal(9);
const ABORT: Option<ExitStatus> = signal(6);
const SEGV: Option<ExitStatus> = signal(11);

#[expect(clippy::unnecessary_wraps, reason = "as reports have it")]
const fn signal(signal: i32) -> Option<ExitStatus> {
    Some(ExitStatus::Signal {
        signal,
        core_dumped: false,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "as reports have it")]
const fn code(code: i32) -> Option<ExitStatus> {
    Some(ExitStatus::Code(code))
}

fn died(reason: Reason, status: Option<ExitStatus>, detail: Option<&str>) -> Report {
    Report::Died {
        instance: InstanceId(7),
        role: Role::Worker(Slot(2)),
        generation: Generation(1),
        reason,
        status,
        detail: detail.map(Into::into),
        uptime: Duration::from_secs(61),
    }
}

fn report(reason: Reason, status: Option<ExitStatus>, remains: &Remains) -> Exit {
    assemble(&died(reason, status, None), remains, String::new()).unwrap()
}

fn panicked(ms_ago: u64) -> Remains {
    Remains {
        at: Time::from_millis(100_000),
        panic: Some(PanicRecord {
            message: "no stock\nof it".into(),
            location: "src/orders.rs:12:5".into(),
            thread: "main".into(),
            time_ms: 100_000 - ms_ago,
            count: 1,
        }),
        ..Remains::default()
    }
}

fn oom_killed() -> Remains {
    let mut remains = Remains::default();
    remains.oom_killed(5 << 30);
    remains
}

fn ended_by_us() -> Remains {
    Remains {
        is_ended_by_us: true,
        ..oom_killed()
    }
}

fn said(line: &str) -> Remains {
    Remains {
        stderr: vec!["starting".into(), line.into()],
        ..Remains::default()
    }
}

#[test]
fn what_really_ended_it_is_found_out() {
    let none = Remains::default;
    let allocation = || said("memory allocation of 4096 bytes failed");
    let told = || Remains {
        is_told_to_end: true,
        ..Remains::default()
    };
    let table: [(Reason, Option<ExitStatus>, Remains, &str); 23] = [
        (Reason::Scale, signal(15), told(), "scale"),
        (Reason::Scale, signal(15), none(), "signal"),
        (Reason::Scale, SEGV, told(), "signal"),
        (Reason::Signal, KILL, none(), "signal"),
        (Reason::Signal, KILL, oom_killed(), "oom"),
        (Reason::Signal, SEGV, oom_killed(), "signal"),
        (Reason::Signal, ABORT, none(), "signal"),
        (Reason::Signal, ABORT, allocation(), "oom"),
        (
            Reason::Signal,
            ABORT,
            said("memory allocation of trust"),
            "signal",
        ),
        (Reason::Signal, ABORT, panicked(10), "panic"),
        (Reason::Signal, ABORT, panicked(20_000), "signal"),
        (Reason::Exit, code(101), panicked(3_000), "panic"),
        (Reason::Exit, code(1), panicked(100), "panic"),
        (Reason::Exit, code(1), panicked(3_000), "exit"),
        (Reason::Clean, code(0), panicked(0), "clean"),
        // What we put an end to keeps our reason, also when memory is short just then.
        (Reason::Hang, KILL, ended_by_us(), "hang"),
        (Reason::Hang, code(0), none(), "hang"),
        // On their way out, and struck by something else.
        (Reason::Reload, KILL, none(), "signal"),
        (Reason::Reload, KILL, oom_killed(), "oom"),
        (Reason::Lifetime, code(3), none(), "exit"),
        (Reason::Stop, code(0), none(), "stop"),
        // A failed boot is one, whatever it failed by.
        (Reason::Boot, SEGV, none(), "boot"),
        (Reason::Boot, None, none(), "boot"),
    ];
    for (reason, status, remains, word) in table {
        let exit = report(reason, status, &remains);
        assert_eq!(exit.reason, word, "{reason:?} {status:?}: {}", exit.summary);
    }
}

#[test]
fn the_panic_that_ended_it_is_told_and_no_other() {
    let exit = report(Reason::Exit, code(101), &panicked(5));
    let text = "no stock of it, src/orders.rs:12:5";
    assert_eq!(exit.panic.as_deref(), Some(text));
    assert_eq!(exit.summary, format!("panic, exit code 101: {text}"));
    let exit = report(Reason::Signal, KILL, &panicked(5));
    assert_eq!(exit.panic, None);
}

#[test]
fn the_summary_says_why_where_and_what_it_has_cost() {
    let request = |running| InFlight {
        method: "POST".into(),
        path: "/orders".into(),
        age_ms: 1,
        running,
    };
    let remains = Remains {
        is_ended_by_us: true,
        silent: Some(Duration::from_millis(10_049)),
        requests_cut: 1,
        connections_cut: 3,
        in_flight: vec![request(true), request(false)],
        ..Remains::default()
    };
    let exit = report(Reason::Hang, ABORT, &remains);
    assert_eq!(
        exit.summary,
        "hang, silent for 10.0s, signal 6 (SIGABRT); at POST /orders; 1 request and 3 connections \
         cut"
    );
    assert_eq!(
        (exit.signal.as_deref(), exit.exit_code),
        (Some("SIGABRT"), None)
    );
    assert_eq!((exit.slot, exit.uptime_ms), (Some(2), 61_000));

    let exit = report(Reason::Reload, KILL, &oom_killed());
    assert_eq!(
        exit.summary,
        "oom, killed by the kernel for want of memory, signal 9 (SIGKILL), on its way out (reload)"
    );
    assert_eq!(exit.rss_bytes, 5 << 30);

    let failed = died(Reason::Boot, code(1), Some("no database"));
    let exit = assemble(&failed, &Remains::default(), String::new()).unwrap();
    assert_eq!(exit.summary, "boot, exit code 1: no database");
    let told_twice = died(Reason::Exit, code(3), Some("exit code 3"));
    let exit = assemble(&told_twice, &Remains::default(), String::new()).unwrap();
    assert_eq!(exit.summary, "exit, exit code 3");
}
