//! Stacks, recorded in the handlers of real signals: each `alone_` test is a process of its own,
//! which a test that follows starts and whose recorder it reads.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ffi::OsString;
use std::hint::black_box;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hatchery_sys::process;
use hatchery_sys::recorder::{Frame, Recorder, StackKind, StackRecord};
use hatchery_sys::signals::Signal;
use hatchery_sys::spawn::{Child, Program, Spawn};
use hatchery_sys::{peer, stack};

const SOON: Duration = Duration::from_secs(20);

/// Where the recorder is in the child.
const RECORDER_AT: i32 = 3;

/// A function of these tests is shorter than this, in bytes.
const FUNCTION_BYTES: u64 = 1024;

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A process that runs one test, and its recorder.
struct Run {
    child: Child,
    recorder: Recorder,
    stderr: std::io::PipeReader,
}

fn start(test: &str) -> Run {
    let (recorder, recording) = Recorder::create().unwrap();
    let (stderr, theirs) = std::io::pipe().unwrap();
    let args = ["test", "--ignored", "--exact", test, "--nocapture"].map(OsString::from);
    let child = Spawn {
        program: &Program::open(&std::env::current_exe().unwrap()).unwrap(),
        args: &args,
        env: &std::env::vars_os().collect::<Vec<_>>(),
        listen_pid: false,
        cwd: Path::new("/"),
        fds: &[
            (theirs.as_fd(), 1),
            (theirs.as_fd(), 2),
            (recording.as_fd(), RECORDER_AT),
        ],
    }
    .start()
    .unwrap();
    Run {
        child,
        recorder,
        stderr,
    }
}

impl Run {
    /// Its exit code, or a signal's number as a negative one; and what it said.
    fn ended(mut self) -> (i32, String, Recorder) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert!(peer::wait_gone(&self.child.pidfd, SOON).unwrap());
        let mut status = 0;
        let pid = i32::try_from(self.child.pid).unwrap();
        // SAFETY: a child of ours, and a live number.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        let status = if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            -libc::WTERMSIG(status)
        };
        (status, said, self.recorder)
    }
}

/// The child's side: the recorder is its own from here on.
fn install() -> Arc<Recorder> {
    let recorder = Recorder::map(process::take_fd(RECORDER_AT).unwrap()).unwrap();
    let recorder = Arc::new(recorder);
    stack::install(Arc::clone(&recorder)).unwrap();
    assert!(stack::install(Arc::clone(&recorder)).is_err());
    recorder
}

fn is_in(frame: &Frame, function: usize) -> bool {
    (function as u64..function as u64 + FUNCTION_BYTES).contains(&frame.address)
}

fn crash(recorder: &Recorder) -> StackRecord {
    let first = recorder.stacks().into_iter().next();
    first.filter(|stack| stack.index.is_none()).unwrap()
}

/// Says where a function is, so that the parent can find it: it may be loaded anywhere.
fn say(function: usize) {
    eprintln!("\nfunction {function}");
}

fn said_function(said: &str) -> usize {
    let line = said.lines().find_map(|line| line.strip_prefix("function "));
    line.unwrap_or_else(|| panic!("{said}")).parse().unwrap()
}

#[inline(never)]
fn spin(go_on: &dyn Fn() -> bool) -> u64 {
    let mut turns = 0_u64;
    while go_on() {
        turns = black_box(turns + 1);
    }
    turns
}

#[inline(never)]
fn sleep_in_the_library(time: Duration) -> u64 {
    let time = libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap(),
        tv_nsec: 0,
    };
    // SAFETY: a live value; nobody wants to know what is left.
    let left = unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
    black_box(u64::from(left == 0))
}

#[inline(never)]
fn allocate(go_on: &dyn Fn() -> bool) -> u64 {
    let mut bytes = 0;
    while go_on() {
        let text = format!("{:?}", black_box(vec![1_u8; 300]));
        bytes = black_box(bytes + text.len() as u64);
    }
    bytes
}

#[inline(never)]
fn panic_and_catch(go_on: &dyn Fn() -> bool) -> u64 {
    let mut caught = 0;
    while go_on() {
        let result = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(1)));
        caught = black_box(caught + u64::from(result.is_err()));
    }
    caught
}

#[test]
#[ignore = "installs handlers"]
fn alone_ask() {
    let recorder = install();
    let release = AtomicBool::new(false);
    let is_on = || !release.load(Relaxed);
    let works: [(&str, usize, &(dyn Fn() -> u64 + Sync)); 4] = [
        ("spin", spin as *const () as usize, &|| spin(&is_on)),
        ("allocate", allocate as *const () as usize, &|| {
            allocate(&is_on)
        }),
        ("panic", panic_and_catch as *const () as usize, &|| {
            panic_and_catch(&is_on)
        }),
        ("sleep", sleep_in_the_library as *const () as usize, &|| {
            let mut turns = 0;
            while is_on() {
                turns += sleep_in_the_library(SOON);
            }
            turns
        }),
    ];
    std::thread::scope(|scope| {
        // A failed test ends, too.
        let releaser = Release(&release);
        for (index, (name, _, work)) in works.iter().enumerate() {
            let work = move || {
                let _registered = stack::register(index).unwrap();
                assert!(stack::register(99).is_err());
                black_box(work());
            };
            let thread = std::thread::Builder::new().name((*name).to_owned());
            thread.spawn_scoped(scope, work).unwrap();
        }
        let has = |index: usize, function: usize| {
            stack::ask();
            recorder.stacks().iter().any(|stack| {
                stack.index == Some(index) && stack.frames.iter().any(|f| is_in(f, function))
            })
        };
        for (index, (name, function, _)) in works.iter().enumerate() {
            until(name, || has(index, *function));
        }
        // However it is hit, it harms nothing.
        for _ in 0..500 {
            stack::ask();
            std::thread::yield_now();
            for stack in recorder.stacks() {
                let (name, ..) = works[stack.index.unwrap()];
                assert_eq!((stack.kind, &*stack.thread), (StackKind::Asked, name));
            }
        }
        drop(releaser);
        // Each question ends a sleep; nobody answers who is gone.
        while !is_over() {
            stack::ask();
            std::thread::yield_now();
        }
    });
    stack::ask();
}

struct Release<'a>(&'a AtomicBool);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Whether all threads of the test above are gone.
fn is_over() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let mut names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    !names.any(|name| matches!(name.trim(), "spin" | "allocate" | "panic" | "sleep"))
}

#[test]
fn a_thread_says_what_it_is_doing_when_it_is_asked() {
    let (status, said, _) = start("alone_ask").ended();
    assert_eq!(status, 0, "{said}");
}

#[inline(never)]
fn write_to(address: usize) -> u64 {
    let place = std::ptr::with_exposed_provenance_mut::<u64>(address);
    // SAFETY: none; that is the point of these tests.
    unsafe { place.write_volatile(1) };
    black_box(address as u64)
}

#[test]
#[ignore = "ends its process"]
fn alone_segv() {
    install();
    say(write_to as *const () as usize);
    black_box(write_to(8));
}

#[test]
#[ignore = "ends its process"]
fn alone_segv_in_a_registered_thread() {
    install();
    say(write_to as *const () as usize);
    let crash = || {
        let _registered = stack::register(0).unwrap();
        black_box(write_to(8));
    };
    let thread = std::thread::Builder::new().name("crasher".into());
    thread.spawn(crash).unwrap().join().unwrap();
}

fn crashes(test: &str, signal: Signal) -> (StackRecord, String) {
    let (status, said, recorder) = start(test).ended();
    assert_eq!(status, -signal.as_raw(), "{said}");
    (crash(&recorder), said)
}

#[test]
fn a_wild_write_is_named_and_ends_the_process_as_ever() {
    for test in ["alone_segv", "alone_segv_in_a_registered_thread"] {
        let (stack, said) = crashes(test, Signal::Segv);
        assert_eq!(stack.kind, StackKind::Crash(libc::SIGSEGV));
        assert!(is_in(&stack.frames[0], said_function(&said)), "{stack:?}");
        assert!(stack.frames[0].offset.is_some());
        assert!(stack.frames.len() > 3, "{stack:?}");
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "the stack is to be used up")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 100]);
    recurse(frame[7] + 1) + frame[3]
}

#[test]
#[ignore = "ends its process"]
fn alone_overflow() {
    install();
    say(recurse as *const () as usize);
    let overflow = || black_box(recurse(0));
    let thread = std::thread::Builder::new().name("deep".into());
    let deep = move || {
        let _registered = stack::register(0).unwrap();
        overflow()
    };
    black_box(thread.spawn(deep).unwrap().join().unwrap());
}

#[test]
fn a_stack_overflow_is_named_and_the_standard_library_says_so() {
    let (stack, said) = crashes("alone_overflow", Signal::Abrt);
    assert!(said.contains("has overflowed its stack"), "{said}");
    // What came first is what is told.
    assert_eq!(stack.kind, StackKind::Crash(libc::SIGSEGV));
    assert_eq!(stack.thread, "deep");
    let function = said_function(&said);
    let frames = stack.frames.iter().filter(|frame| is_in(frame, function));
    assert!(frames.count() > 50, "{stack:?}");
}

#[inline(never)]
fn give_up() -> u64 {
    let thread = std::thread::current();
    if black_box(thread.name().is_some()) {
        std::process::abort();
    }
    0
}

#[test]
#[ignore = "ends its process"]
fn alone_abort() {
    install();
    say(give_up as *const () as usize);
    black_box(give_up());
}

#[test]
fn an_abort_is_named() {
    let (stack, said) = crashes("alone_abort", Signal::Abrt);
    assert_eq!(stack.kind, StackKind::Crash(libc::SIGABRT));
    let function = said_function(&said);
    assert!(
        stack.frames.iter().any(|frame| is_in(frame, function)),
        "{stack:?}"
    );
}

#[test]
#[ignore = "waits for a signal"]
fn alone_wait() {
    let recorder = install();
    let _ = recorder.begin("GET", "/ready");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_signal_that_was_sent_ends_the_process_the_first_time() {
    let all = [
        Signal::Segv,
        Signal::Bus,
        Signal::Ill,
        Signal::Fpe,
        Signal::Abrt,
        Signal::Sys,
    ];
    for signal in all {
        let run = start("alone_wait");
        until("it is ready", || run.recorder.in_flight(0).len() == 1);
        process::signal(&run.child.pidfd, signal).unwrap();
        let (status, said, recorder) = run.ended();
        assert_eq!(status, -signal.as_raw(), "{said}");
        assert_eq!(crash(&recorder).kind, StackKind::Crash(signal.as_raw()));
    }
}

#[test]
#[ignore = "changes its process"]
fn alone_forked() {
    let recorder = install();
    // SAFETY: the child only makes calls that a handler may make, too.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends this process, which is a copy.
        unsafe { libc::abort() };
    }
    let mut status = 0;
    // SAFETY: a child of ours, and a live number.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
    assert_eq!(recorder.stacks(), []);
}

#[test]
fn a_copy_of_the_process_leaves_no_stack_here() {
    let (status, said, _) = start("alone_forked").ended();
    assert_eq!(status, 0, "{said}");
}
