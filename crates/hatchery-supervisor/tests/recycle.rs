//! Planned replacement for age and for memory.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{Action, Alarm, ExitStatus, InstanceId, Policy, Reason, Report};
use pool::{KILLED, MIB, Pool, deaths, drained, signals};

const WORKER: InstanceId = InstanceId(2);

fn alarms(actions: &[Action]) -> Vec<Alarm> {
    let alarm = |action: &Action| match action {
        Action::Report(Report::Alarm(alarm)) => Some(alarm.clone()),
        _ => None,
    };
    actions.iter().filter_map(alarm).collect()
}

fn old_age(workers: u32) -> Policy {
    Policy {
        workers,
        ..Policy::default()
    }
}

#[test]
fn each_worker_is_recycled_at_its_age_start_before_stop_and_a_minute_apart() {
    let mut pool = Pool::up(old_age(4));
    let mut starts = Vec::new();
    for _ in 0..80 * 60 {
        pool.run(Duration::from_secs(1));
        for action in pool.take() {
            match action {
                Action::Spawn { instance, .. } => {
                    starts.push(pool.now);
                    pool.ready(instance);
                }
                Action::Drain {
                    instance,
                    successor,
                    ..
                } => {
                    assert!(successor);
                    assert_eq!(pool.supervisor.ready_workers(), 4);
                    pool.exit(instance, ExitStatus::Code(0));
                }
                _ => {}
            }
        }
    }
    assert_eq!(starts.len(), 4, "one recycle each in 66 minutes");
    for pair in starts.windows(2) {
        assert!(pair[1].since(pair[0]) >= Duration::from_mins(1));
    }
    assert!(
        starts[0].as_millis() >= 54 * 60_000,
        "an hour less ten per cent"
    );
}

#[test]
fn a_lifetime_recycle_waits_until_the_pool_is_whole() {
    let mut policy = old_age(2);
    policy.crash_budget_per_worker = 0;
    let mut pool = Pool::up(policy);
    pool.crash(InstanceId(3)); // no budget: its restart is a probe, half a minute away each
    for _ in 0..67 * 2 {
        pool.run(Duration::from_secs(30));
        for (instance, slot, _) in pool.spawned() {
            assert_eq!(slot, Some(1), "nobody is recycled while slot 1 is empty");
            pool.crash(instance);
        }
    }
    pool.boots_in = Some(Duration::from_millis(100));
    pool.run(Duration::from_secs(35));
    assert!(drained(&pool.take()).contains(&WORKER));
}

#[test]
fn a_replacement_that_fails_is_retried_while_the_old_one_serves_on() {
    let mut pool = Pool::of(2);
    for sample in [100, 600, 600, 600] {
        pool.memory(WORKER, sample * MIB);
    }
    let first = pool.one_spawned();
    pool.crash(first);
    pool.run(Duration::from_secs(1));
    assert_eq!(pool.current(0), WORKER);
    let second = pool.spawned().last().expect("a second attempt").0;
    pool.ready(second);
    assert_eq!(drained(&pool.take()), [WORKER]);
    assert_eq!(pool.current(0), second);
}

#[test]
fn three_samples_over_the_soft_limit_recycle_and_a_spike_does_not() {
    let table: [(&[u64], bool); 4] = [
        (&[100, 600, 600, 100, 600, 600], false),
        (&[100, 600, 600, 600], true),
        (&[100, 513, 513, 513], true),
        (&[100, 512, 512, 512], false),
    ];
    for (samples_mib, recycled) in table {
        let mut pool = Pool::of(2);
        for sample in samples_mib {
            pool.memory(WORKER, sample * MIB);
        }
        let spawned = pool.spawned();
        assert_eq!(!spawned.is_empty(), recycled, "{samples_mib:?}");
        if let Some((new, ..)) = spawned.first() {
            pool.ready(*new);
            pool.exit(WORKER, ExitStatus::Code(0));
            assert_eq!(deaths(&pool.take()), [(WORKER, Reason::Memory)]);
        }
    }
}

#[test]
fn one_recycle_at_a_time() {
    let mut pool = Pool::of(3);
    for id in [2, 3, 4].map(InstanceId) {
        for sample in [100, 600, 600, 600] {
            pool.memory(id, sample * MIB);
        }
    }
    for expected in [2, 3, 4].map(InstanceId) {
        let new = pool.one_spawned();
        assert!(drained(&pool.take()).is_empty());
        pool.ready(new);
        assert_eq!(drained(&pool.actions), [expected]);
    }
}

#[test]
fn over_the_hard_limit_a_worker_goes_now() {
    let mut pool = Pool::of(2);
    pool.memory(WORKER, 100 * MIB);
    pool.memory(WORKER, 800 * MIB);
    let actions = pool.actions.clone();
    pool.one_spawned();
    assert_eq!(drained(&actions), [WORKER]);
    pool.run(Duration::from_millis(4_900));
    assert!(signals(&pool.take()).is_empty());
    pool.run(Duration::from_millis(200));
    assert_eq!(
        signals(&pool.take()),
        [(WORKER, hatchery_supervisor::Signal::Kill)]
    );
    pool.exit(WORKER, KILLED);
    assert_eq!(deaths(&pool.take()), [(WORKER, Reason::Memory)]);
}

#[test]
fn a_fresh_worker_over_the_limit_is_an_alarm_and_no_loop() {
    let mut pool = Pool::of(2);
    for _ in 0..10 {
        pool.memory(WORKER, 600 * MIB);
        pool.memory(InstanceId(3), 900 * MIB);
    }
    let actions = pool.take();
    let fresh = alarms(&actions);
    assert_eq!(fresh.len(), 2, "soft once, hard once: {fresh:?}");
    assert!(drained(&actions).is_empty());
    assert_eq!(pool.supervisor.alarms().len(), 2);
}

#[test]
fn a_fast_leak_is_an_alarm_and_waits_until_the_worker_is_a_minute_old() {
    let mut pool = Pool::of(2);
    let leak = |pool: &mut Pool, id| {
        for sample in [100, 600, 600, 600] {
            pool.memory(id, sample * MIB);
        }
    };
    leak(&mut pool, WORKER);
    let heir = pool.one_spawned();
    pool.ready(heir);
    pool.exit(WORKER, ExitStatus::Code(0));
    pool.take();
    leak(&mut pool, heir);
    let actions = pool.take();
    assert!(matches!(alarms(&actions)[..], [Alarm::FastLeak { .. }]));
    pool.run(Duration::from_secs(59));
    assert!(pool.spawned().is_empty());
    pool.run(Duration::from_secs(2));
    assert_eq!(pool.spawned().len(), 1);
}
