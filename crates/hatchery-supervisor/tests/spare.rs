//! Hot spares: who is started when, who takes which slot, and what they cost.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{
    Action, Command, ExitStatus, InstanceId, Policy, Reason, Report, Role, Slot, State,
};
use pool::{AGENT, KILLED, Pool, deaths, drained, quiet, steers};

const WORKER: InstanceId = InstanceId(2);

fn with_spares(workers: u32, spares: u32) -> Policy {
    Policy {
        spares,
        ..quiet(workers)
    }
}

/// Up: agent #1, workers from #2, then the spares.
fn pool_of(workers: u32, spares: u32) -> Pool {
    whole(with_spares(workers, spares))
}

fn whole(policy: Policy) -> Pool {
    let mut pool = Pool::up(policy);
    pool.boots_in = Some(Duration::from_millis(100));
    pool.run(Duration::from_secs(1));
    pool.boots_in = None;
    pool.take();
    pool
}

fn spares(pool: &Pool) -> Vec<u64> {
    pool.supervisor.spares().map(|spare| spare.id.0).collect()
}

fn assigned(actions: &[Action]) -> Vec<(u64, u32)> {
    let pair = |action: &Action| match action {
        Action::Assign { instance, slot } => Some((instance.0, slot.0)),
        _ => None,
    };
    actions.iter().filter_map(pair).collect()
}

#[test]
fn spares_start_when_the_pool_is_up_and_belong_to_no_slot() {
    let mut pool = Pool::new(with_spares(2, 2));
    pool.tell(hatchery_supervisor::Event::Start);
    pool.ready(AGENT);
    pool.ready(InstanceId(2));
    assert!(spares(&pool).is_empty());
    pool.take();
    pool.ready(InstanceId(3));
    assert_eq!(spares(&pool), [4, 5]);
    pool.ready(InstanceId(4));
    assert_eq!(steers(&pool.take()), [vec![0, 1]]);
    assert_eq!(pool.supervisor.ready_workers(), 2);
}

#[test]
fn a_spare_takes_the_slot_of_a_crashed_worker_at_once() {
    let mut pool = pool_of(2, 1);
    pool.crash(WORKER);
    let actions = pool.take();
    assert_eq!(assigned(&actions), [(4, 0)]);
    assert_eq!(pool.current(0), InstanceId(4));
    let spare = pool.supervisor.instance(InstanceId(4)).expect("it lives");
    assert_eq!(spare.role, Role::Worker(Slot(0)));
    assert!(steers(&actions).is_empty(), "never without a worker");
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Report(Report::Assigned { slot: Slot(0), .. })
    )));
    // The next spare starts at once, too: this was the first in a long time.
    assert_eq!(spares(&pool), [5]);
    assert_eq!(pool.supervisor.restarts(Slot(0)), 1);
}

#[test]
fn a_spare_stands_in_for_a_suspect_which_drains_when_it_recovers() {
    let mut pool = pool_of(2, 1);
    pool.silent.insert(WORKER);
    pool.run(Duration::from_millis(1_100));
    assert_eq!(assigned(&pool.take()), [(4, 0)]);
    assert_eq!(pool.current(0), InstanceId(4));
    assert_eq!(pool.state(WORKER), State::Suspect);
    pool.silent.clear();
    pool.run(Duration::from_millis(300));
    assert_eq!(drained(&pool.take()), [WORKER]);
}

#[test]
fn a_starting_or_suspect_spare_takes_no_slot() {
    let mut pool = pool_of(2, 1);
    pool.silent.insert(InstanceId(4));
    pool.run(Duration::from_millis(1_100));
    assert_eq!(pool.state(InstanceId(4)), State::Suspect);
    pool.take();
    pool.crash(WORKER);
    assert_eq!(
        pool.spawned(),
        [(InstanceId(5), Some(0), pool.supervisor.generation())]
    );
    // It hangs at last, and another takes its place.
    pool.ready(InstanceId(5));
    pool.run(Duration::from_secs(10));
    pool.exit(InstanceId(4), KILLED);
    assert_eq!(deaths(&pool.take()), [(InstanceId(4), Reason::Hang)]);
    assert_eq!(spares(&pool), [6]);
}

/// The slot does not wait for its back-off beside a spare; the next spare waits instead.
#[test]
fn a_slot_that_fails_over_and_over_does_not_fork_faster_with_spares() {
    let mut pool = pool_of(4, 1);
    pool.boots_in = Some(Duration::from_millis(50));
    let mut forks = 0;
    for _ in 0..600 {
        pool.run(Duration::from_millis(100));
        forks += pool.spawned().len();
        if pool.supervisor.current(Slot(0)).is_some() {
            let id = pool.current(0);
            pool.crash(id);
        }
    }
    assert!((5..=32).contains(&forks), "{forks} forks in a minute");
}

#[test]
fn a_spare_that_cannot_start_is_tried_with_back_off() {
    let mut pool = pool_of(1, 1);
    pool.crash(InstanceId(3));
    let mut forks = 0;
    for _ in 0..600 {
        for (id, _, _) in pool.spawned() {
            forks += 1;
            pool.crash(id);
        }
        pool.run(Duration::from_millis(100));
    }
    assert!((6..=12).contains(&forks), "{forks} forks in a minute");
    assert!(pool.supervisor.alarms().is_empty(), "the pool is well");
}

#[test]
fn spares_follow_a_reload_after_its_promotion() {
    let mut pool = pool_of(1, 1);
    pool.ask(Command::Reload);
    pool.checked(2, with_spares(1, 2));
    let canary = pool.one_spawned();
    pool.ready(canary);
    pool.run(Duration::from_secs(1));
    pool.exit(WORKER, ExitStatus::Code(0));
    pool.exit(AGENT, ExitStatus::Code(0));
    assert_eq!(
        spares(&pool),
        [3],
        "the old one stays until all else is done"
    );
    pool.take();
    let agent = InstanceId(5);
    pool.ready(agent);
    assert_eq!(drained(&pool.take()), [InstanceId(3)]);
    pool.exit(InstanceId(3), ExitStatus::Code(0));
    assert_eq!(spares(&pool), [6, 7]);
    let generations = pool.supervisor.spares().map(|spare| spare.generation.0);
    assert!(generations.eq([2, 2]));
}

#[test]
fn an_old_spare_takes_no_slot_of_the_new_generation() {
    let mut pool = pool_of(2, 1);
    pool.ask(Command::Reload);
    pool.checked(2, with_spares(2, 1));
    let canary = pool.one_spawned();
    pool.ready(canary);
    pool.run(Duration::from_secs(1));
    pool.take();
    // The canary has slot 0; its end undoes the reload, and then the old spare fits.
    pool.crash(canary);
    assert_eq!(assigned(&pool.take()), [(4, 0)]);
    assert_eq!(pool.supervisor.generation().0, 1);
}

#[test]
fn spares_go_before_the_agent_at_a_stop() {
    let mut pool = pool_of(1, 1);
    pool.ask(Command::Stop { fast: false });
    assert_eq!(drained(&pool.take()), [WORKER, InstanceId(3)]);
    pool.exit(WORKER, ExitStatus::Code(0));
    assert!(drained(&pool.take()).is_empty());
    pool.exit(InstanceId(3), ExitStatus::Code(0));
    assert_eq!(drained(&pool.take()), [AGENT]);
}

#[test]
fn its_age_counts_from_the_slot() {
    let mut policy = with_spares(1, 1);
    policy.lifetime = Duration::from_mins(10);
    policy.lifetime_jitter_percent = 0;
    let mut pool = whole(policy);
    pool.run(Duration::from_mins(5));
    pool.crash(WORKER);
    assert_eq!(pool.current(0), InstanceId(3));
    pool.boots_in = Some(Duration::from_millis(100));
    pool.run(Duration::from_mins(9));
    assert_eq!(pool.current(0), InstanceId(3));
    pool.run(Duration::from_mins(2));
    assert_ne!(pool.current(0), InstanceId(3));
}
