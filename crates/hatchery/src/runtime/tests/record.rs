//! What a child leaves on record.

use hatchery_sys::clock::monotonic_ms;

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
