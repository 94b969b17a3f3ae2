//! Workers that grow old: recycled one after the other, without a failed request.

use std::time::{Duration, Instant};

use crate::support::{Load, Plan, SOON, alone, showcase};

#[test]
fn old_workers_are_recycled_one_at_a_time_without_a_failed_request() {
    const SPACING: Duration = Duration::from_millis(500);
    let _alone = alone();
    let pool = showcase()
        .set("cluster.lifetime", "2s")
        .set("cluster.lifetime_spacing", "500ms")
        .start();
    let watch = pool.watch();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let began = Instant::now();
    let first = pool.status().instances().last().copied().unwrap();
    pool.wait_status("eight are recycled", 3 * SOON, |status| {
        status.instances().last().copied().unwrap() >= first + 8
    });
    let took = began.elapsed();
    load.serve_more(50);
    load.finish().assert_flawless();
    let seen = watch.finish();
    assert!(seen.ready_min >= Some(4), "{seen:?}");
    assert!(seen.ready_max <= 5, "one at a time: {seen:?}");
    assert!(took >= 7 * SPACING, "eight in {took:?} are too many");
    assert!(pool.output().has(&["is gone after", "lifetime"]));
}
