//! Crashes: back-off, the pool's budget, the agent, and leavers.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{
    Action, Alarm, Command, Event, ExitStatus, Generation, InstanceId, Phase, Reason, Report,
};
use pool::{AGENT, KILLED, Pool, deaths, steers};

const WORKER: InstanceId = InstanceId(2);

fn delays(actions: &[Action]) -> Vec<u64> {
    let delay_ms = |action: &Action| match action {
        Action::Report(Report::Backoff { delay, .. }) => u64::try_from(delay.as_millis()).ok(),
        _ => None,
    };
    actions.iter().filter_map(delay_ms).collect()
}

/// One row a way to die without being asked: the slot restarts at once, with the right reason.
#[test]
fn the_first_crash_restarts_at_once() {
    let table = [
        (ExitStatus::Code(0), Reason::Clean),
        (ExitStatus::Code(101), Reason::Exit),
        (KILLED, Reason::Signal),
    ];
    for (status, reason) in table {
        let mut pool = Pool::of(2);
        pool.exit(WORKER, status);
        let actions = pool.actions.clone();
        assert_eq!(deaths(&actions), [(WORKER, reason)]);
        assert_eq!(steers(&actions), [vec![1]]);
        assert_eq!(pool.supervisor.phase(), Phase::Degraded);
        let new = pool.one_spawned();
        pool.ready(new);
        assert_eq!(pool.supervisor.phase(), Phase::Ready);
        assert_eq!(pool.supervisor.restarts(hatchery_supervisor::Slot(0)), 1);
    }
}

#[test]
fn failures_in_a_row_wait_twice_as_long_each_up_to_the_cap() {
    let mut policy = pool::quiet(2);
    policy.crash_budget_per_worker = 100;
    let mut pool = Pool::up(policy);
    let mut id = WORKER;
    let mut waits = Vec::new();
    for _ in 0..13 {
        pool.tell(Event::SpawnFailed {
            instance: id,
            reason: "no".to_owned(),
        });
        waits.extend(delays(&pool.actions));
        pool.run(Duration::from_secs(31));
        id = pool.one_spawned();
    }
    let mut nominal = 100;
    for wait in waits {
        assert!((nominal * 8 / 10..=nominal * 12 / 10).contains(&wait) && wait <= 30_000);
        nominal = (nominal * 2).min(30_000);
    }
}

#[test]
fn a_healthy_minute_clears_the_failures() {
    let mut pool = Pool::of(2);
    let mut id = WORKER;
    for _ in 0..3 {
        pool.crash(id);
        pool.run(Duration::from_secs(1));
        id = pool.one_spawned();
        pool.ready(id);
    }
    pool.run(Duration::from_secs(61));
    pool.take();
    pool.crash(id);
    assert_eq!(pool.spawned().len(), 1);
}

/// Five minutes in which the workers of slots 0 and 1 crash as soon as they start.
fn crash_loop(pool: &mut Pool) -> (usize, Vec<Alarm>) {
    let mut forks = 0;
    let mut alarms = Vec::new();
    for id in [WORKER, InstanceId(3)] {
        pool.crash(id);
    }
    for _ in 0..600 {
        pool.run(Duration::from_millis(500));
        for action in pool.take() {
            match action {
                Action::Spawn { instance, .. } => {
                    forks += 1;
                    pool.crash(instance);
                }
                Action::Report(Report::Alarm(alarm)) => alarms.push(alarm),
                _ => {}
            }
        }
    }
    (forks, alarms)
}

#[test]
fn a_crash_loop_spends_the_budget_and_then_probes() {
    let mut pool = Pool::of(3);
    let (forks, alarms) = crash_loop(&mut pool);
    // Six by the budget of 2 x 3, then one each half minute of five.
    assert!((7..=17).contains(&forks), "{forks} forks in five minutes");
    assert!(matches!(alarms[..], [Alarm::CrashBudget { .. }]));
    assert_eq!(pool.supervisor.phase(), Phase::Degraded);

    pool.boots_in = Some(Duration::from_millis(50));
    pool.run(Duration::from_secs(40));
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
    assert!(pool.supervisor.alarms().is_empty());
    let over = Action::Report(Report::Alarm(Alarm::CrashBudgetOver));
    assert!(pool.take().contains(&over));
}

#[test]
fn while_nobody_serves_a_probe_comes_every_five_seconds() {
    let mut pool = Pool::of(2);
    let (forks, alarms) = crash_loop(&mut pool);
    assert!((45..=70).contains(&forks), "{forks} forks in five minutes");
    assert!(matches!(alarms[..], [Alarm::CrashBudget { .. }]));

    pool.boots_in = Some(Duration::from_millis(50));
    pool.run(Duration::from_secs(6));
    assert!(pool.supervisor.ready_workers() >= 1);
}

/// Not even the back-off of a single worker, whose pool has a large budget, holds longer.
#[test]
fn while_nobody_serves_no_back_off_is_longer_than_five_seconds() {
    let mut policy = pool::quiet(1);
    policy.crash_budget_per_worker = 1_000;
    let mut pool = Pool::up(policy);
    pool.crash(WORKER);
    let mut forks = 0;
    for _ in 0..600 {
        pool.run(Duration::from_millis(500));
        for (id, _, _) in pool.spawned() {
            forks += 1;
            pool.crash(id);
        }
    }
    assert!((50..=75).contains(&forks), "{forks} forks in five minutes");
}

#[test]
fn the_agent_is_replaced_with_the_same_back_off_and_traffic_goes_on() {
    let mut pool = Pool::of(2);
    pool.exit(AGENT, KILLED);
    let actions = pool.actions.clone();
    assert!(steers(&actions).is_empty());
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
    let second = pool.one_spawned();
    pool.crash(second);
    assert!(pool.spawned().is_empty());
    pool.run(Duration::from_millis(130));
    pool.one_spawned();
    assert_eq!(pool.supervisor.agent_restarts(), 2);
    assert!(pool.supervisor.alarms().is_empty());
}

#[test]
fn a_leaver_is_replaced_at_once_and_is_no_crash() {
    let mut pool = Pool::of(2);
    pool.run(Duration::from_secs(61));
    pool.take();
    pool.tell(Event::Leaving { instance: WORKER });
    let new = pool.one_spawned();
    pool.exit(WORKER, ExitStatus::Code(0));
    pool.ready(new);
    let actions = pool.take();
    assert_eq!(deaths(&actions), [(WORKER, Reason::Clean)]);
    assert_eq!(pool.supervisor.restarts(hatchery_supervisor::Slot(0)), 0);
}

#[test]
fn a_crash_during_a_reload_restarts_the_pinned_generation() {
    let mut pool = Pool::of(4);
    pool.ask(Command::Reload);
    pool.checked(2, pool::quiet(4));
    pool.take();
    pool.crash(InstanceId(5));
    let spawned = pool.spawned();
    assert_eq!(spawned.len(), 1);
    assert_eq!((spawned[0].1, spawned[0].2), (Some(3), Generation(1)));
}
