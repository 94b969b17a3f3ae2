//! What a child does when its master is gone.

use super::*;

/// The contract: no process is left after this.
const LIMIT: Duration = Duration::from_secs(3);

fn orphan(run: &mut Run) -> Instant {
    run.control = None;
    Instant::now()
}

#[test]
fn an_orphan_finishes_what_it_has() {
    let mut run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let answer = run.request("/wait/100");
    until("the request is in flight", || run.page.in_flight() == 1);
    let start = orphan(&mut run);
    assert!(answer.read().ends_with("after the drain"));
    // By its own hand, with whatever it has started.
    assert_eq!(run.ended(), -9);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[test]
fn a_blocked_orphan_ends_too() {
    for plan in [worker("serve"), agent("block")] {
        let is_worker = plan.role == "worker";
        let mut run = plan.start();
        assert_eq!(run.hear(), Some(ToMaster::Ready));
        if is_worker {
            let _answer = run.request("/block");
            until("the request is in flight", || run.page.in_flight() == 1);
        }
        let start = orphan(&mut run);
        assert_eq!(run.ended(), -9);
        assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    }
}

#[test]
fn an_orphan_serves_on_for_its_grace() {
    let grace = Duration::from_millis(300);
    let mut run = Plan {
        orphan_grace: grace,
        ..worker("serve")
    }
    .start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let start = orphan(&mut run);
    let mut served = 0;
    while start.elapsed() < grace / 2 {
        assert!(run.get("/who").contains("200 OK"));
        served += 1;
    }
    assert!(served > 0);
    assert_eq!(run.ended(), -9);
    assert!(start.elapsed() >= grace);
    assert!(start.elapsed() < grace + LIMIT);
}
