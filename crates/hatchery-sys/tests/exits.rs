//! Exit notices. They are for all children of the process, so the tests take turns.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatchery_sys::epoll::{Epoll, Interest};
use hatchery_sys::peer;
use hatchery_sys::process::{self, Exit, ExitStatus};
use hatchery_sys::signals::{Signal, SignalFd};
use hatchery_sys::spawn::{Child, Program, Spawn};

const SOON: Duration = Duration::from_secs(20);

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(args: &[&str]) -> Child {
    let program = Program::open(&Path::new("/bin").join(args[0])).unwrap();
    let args: Vec<_> = args.iter().map(OsString::from).collect();
    let env = [("PATH".into(), "/bin:/usr/bin".into())];
    let cwd = Path::new("/");
    Spawn {
        program: &program,
        args: &args,
        env: &env,
        listen_pid: false,
        cwd,
        fds: &[],
    }
    .start()
    .unwrap()
}

fn wait_dead(child: &Child) {
    assert!(peer::wait_gone(&child.pidfd, SOON).unwrap());
}

#[test]
fn without_children_there_is_no_exit() {
    let _turn = turn();
    assert_eq!(process::next_exit().unwrap(), None);
    let child = start(&["sleep", "1000"]);
    assert_eq!(process::next_exit().unwrap(), None);
    process::signal(&child.pidfd, Signal::Kill).unwrap();
    wait_dead(&child);
    process::reap(child.pid).unwrap();
    assert_eq!(process::next_exit().unwrap(), None);
}

#[test]
fn looking_does_not_reap() {
    let _turn = turn();
    let child = start(&["false"]);
    wait_dead(&child);
    let exit = Exit {
        pid: child.pid,
        status: ExitStatus::Code(1),
    };
    for _ in 0..3 {
        assert_eq!(process::next_exit().unwrap(), Some(exit));
    }
    // The pid still is the child's, so its group can be signalled safely.
    process::kill_group(child.pid, Signal::Kill).unwrap();
    process::reap(child.pid).unwrap();
    assert_eq!(process::next_exit().unwrap(), None);
    assert!(process::reap(child.pid).is_err());
}

#[test]
fn how_a_child_ended_is_told() {
    let _turn = turn();
    let table: [(&[&str], ExitStatus); 4] = [
        (&["true"], ExitStatus::Code(0)),
        (&["sh", "-c", "exit 200"], ExitStatus::Code(200)),
        (
            &["sh", "-c", "kill -9 $$"],
            ExitStatus::Signal {
                signal: 9,
                core_dumped: false,
            },
        ),
        (
            &["sh", "-c", "kill -15 $$"],
            ExitStatus::Signal {
                signal: 15,
                core_dumped: false,
            },
        ),
    ];
    for (args, status) in table {
        let child = start(args);
        wait_dead(&child);
        assert_eq!(
            process::next_exit().unwrap(),
            Some(Exit {
                pid: child.pid,
                status
            })
        );
        process::reap(child.pid).unwrap();
    }
}

#[test]
fn each_of_many_deaths_behind_one_signal_is_found() {
    let _turn = turn();
    let signals = SignalFd::new(&[Signal::Chld]).unwrap();
    let epoll = Epoll::new().unwrap();
    epoll.add(&signals, 1, Interest::READ).unwrap();
    let mut living: Vec<_> = (0..20).map(|_| start(&["true"]).pid).collect();
    // SIGCHLD may go to any thread that does not block it, as this test binary's others do not, so
    // the loop looks at intervals too. A master blocks it before it has threads.
    let mut ready = Vec::new();
    while !living.is_empty() {
        epoll
            .wait(&mut ready, Some(Duration::from_millis(20)))
            .unwrap();
        while signals.read().unwrap().is_some() {}
        while let Some(exit) = process::next_exit().unwrap() {
            living.retain(|pid| *pid != exit.pid);
            process::reap(exit.pid).unwrap();
        }
    }
}

#[test]
fn a_subreaper_is_told_of_its_grandchildrens_deaths() {
    let _turn = turn();
    process::become_subreaper().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let program = Program::open(Path::new("/bin/sh")).unwrap();
    // The grandchild outlives the child, then ends with a code of its own.
    let script = "(read line; exit 42) <&3 & exit 0";
    let args: Vec<_> = ["sh", "-c", script].iter().map(OsString::from).collect();
    let cwd = Path::new("/");
    let fds = [(reader.as_fd(), 3)];
    let child = Spawn {
        program: &program,
        args: &args,
        env: &[],
        listen_pid: false,
        cwd,
        fds: &fds,
    }
    .start()
    .unwrap();
    wait_dead(&child);
    let exit = process::next_exit().unwrap().unwrap();
    assert_eq!(
        exit,
        Exit {
            pid: child.pid,
            status: ExitStatus::Code(0)
        }
    );
    process::reap(child.pid).unwrap();
    drop(writer);
    let exit = loop {
        if let Some(exit) = process::next_exit().unwrap() {
            break exit;
        }
        std::thread::yield_now();
    };
    assert_eq!(exit.status, ExitStatus::Code(42));
    assert_ne!(exit.pid, child.pid);
    process::reap(exit.pid).unwrap();
}
