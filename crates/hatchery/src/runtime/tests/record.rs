//! What a child leaves on record.

use addr2line::Loader;
use hatchery_sys::clock::monotonic_ms;
use hatchery_sys::recorder::{StackKind, StackRecord};

use super::*;

#[test]
fn what_a_killed_worker_was_doing_stays_on_record() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let _blocked = run.request("/block?until=late");
    let running = || {
        let seen = run.recorder.in_flight(monotonic_ms());
        seen.first().is_some_and(|request| request.running)
    };
    until("its handler has the thread", running);
    run.signal(Signal::Kill);
    assert_eq!(run.ended(), -9);
    let [request] = &run.recorder.in_flight(monotonic_ms())[..] else {
        panic!("one request was in flight");
    };
    assert_eq!((&*request.method, &*request.path), ("GET", "/block"));
    assert_eq!((request.running, request.thread), (true, Some(0)));
}

#[test]
fn a_worker_of_a_master_without_recorders_serves() {
    let plan = Plan {
        recorder_name: "TEST_NO_RECORDER",
        ..worker("serve")
    };
    let run = plan.start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    assert!(run.get("/who").contains("test-app"));
    run.drain(true);
    assert_eq!(run.ended(), 0);
}

/// What a stack's frames are called: the child runs this very executable.
fn names(stack: &StackRecord) -> Vec<String> {
    let names = Loader::new("/proc/self/exe").unwrap();
    let offsets = stack.frames.iter().filter_map(|frame| frame.offset);
    offsets
        .flat_map(|offset| crate::symbolise::frames(&names, offset))
        .collect()
}

#[test]
fn a_blocked_worker_says_where_it_is() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let _blocked = run.request("/block");
    let is_running = || {
        let seen = run.recorder.in_flight(monotonic_ms());
        seen.first().is_some_and(|request| request.running)
    };
    until("its handler has the thread", is_running);
    let is_named = || {
        run.tell(&ToChild::Stack, &[]);
        std::thread::sleep(Duration::from_millis(10));
        let [stack] = &run.recorder.stacks()[..] else {
            return false;
        };
        assert_eq!((stack.kind, stack.index), (StackKind::Asked, Some(0)));
        let is_block = |name: &String| {
            name.contains("tests::worker::block")
                && name.contains("(hatchery/src/runtime/tests/worker.rs:")
        };
        names(stack).iter().any(is_block)
    };
    until("the function that blocks is named", is_named);
}

#[test]
fn a_panic_is_on_record_though_it_was_caught() {
    let run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    assert_eq!(run.recorder.panic(), None);
    let before = monotonic_ms();
    assert!(run.get("/panic").contains(" 500 "));
    let panic = run.recorder.panic().unwrap();
    assert_eq!(panic.message, "on\nrecord");
    let file = "crates/hatchery/src/runtime/tests/worker.rs:";
    assert!(panic.location.starts_with(file), "{panic:?}");
    assert!(panic.time_ms >= before);
    run.drain(true);
    assert_eq!(run.ended(), 0);
    // Whoever was told before is told, too.
    assert!(run.output().contains("on\nrecord"));
}

#[test]
fn an_abort_is_on_record_with_what_was_done() {
    let run = worker("threads").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    assert_eq!(run.get("/abort"), "");
    assert_eq!(run.ended(), -6);
    let stacks = run.recorder.stacks();
    assert_eq!(stacks[0].kind, StackKind::Crash(6));
    let names = names(&stacks[0]);
    let is_abort = |name: &String| name.contains("tests::worker::abort");
    assert!(names.iter().any(is_abort), "{names:#?}");
    let requests = run.recorder.in_flight(monotonic_ms());
    assert_eq!((&*requests[0].path, requests[0].running), ("/abort", true));
}

#[test]
fn what_is_not_in_the_executable_has_no_name() {
    let names = Loader::new("/proc/self/exe").unwrap();
    assert_eq!(crate::symbolise::frames(&names, u64::MAX), [""; 0]);
}
