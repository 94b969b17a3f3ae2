//! Heartbeats: suspicion, stand-ins, recovery, the hang kill, and the master's own sleep.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{Action, Event, InstanceId, Reason, Report, Signal, State};
use pool::{AGENT, Pool, deaths, drained, signals, steers};

const WORKER: InstanceId = InstanceId(2);
const SIGABRT: hatchery_supervisor::ExitStatus = hatchery_supervisor::ExitStatus::Signal {
    signal: 6,
    core_dumped: true,
};

/// A pool of two whose first worker has just become suspect, and its stand-in.
fn suspected() -> (Pool, InstanceId) {
    let mut pool = Pool::of(2);
    pool.silent.insert(WORKER);
    pool.run(Duration::from_secs(1));
    assert_eq!(pool.state(WORKER), State::Suspect);
    assert_eq!(steers(&pool.actions), [vec![1]]);
    let stand_in = pool.one_spawned();
    (pool, stand_in)
}

#[test]
fn a_silent_worker_is_suspect_after_a_second_and_not_before() {
    let mut pool = Pool::of(2);
    pool.silent.insert(WORKER);
    pool.run(Duration::from_millis(800));
    assert_eq!(pool.state(WORKER), State::Ready);
    pool.run(Duration::from_millis(200));
    assert_eq!(pool.state(WORKER), State::Suspect);
}

#[test]
fn a_suspect_that_recovers_is_kept_and_its_starting_stand_in_sent_away() {
    let (mut pool, stand_in) = suspected();
    pool.silent.clear();
    pool.run(Duration::from_millis(250));
    assert_eq!(pool.state(WORKER), State::Ready);
    assert_eq!(pool.current(0), WORKER);
    let actions = pool.take();
    assert_eq!(signals(&actions), [(stand_in, Signal::Term)]);
    assert_eq!(steers(&actions), [vec![0, 1]]);
    pool.exit(stand_in, SIGABRT);
    assert_eq!(deaths(&pool.take()), [(stand_in, Reason::Scale)]);
}

#[test]
fn a_suspect_that_recovers_after_its_stand_in_serves_is_drained() {
    let (mut pool, stand_in) = suspected();
    pool.ready(stand_in);
    assert_eq!(pool.current(0), stand_in);
    assert!(drained(&pool.take()).is_empty());
    pool.silent.clear();
    pool.run(Duration::from_millis(250));
    let actions = pool.take();
    assert_eq!(drained(&actions), [WORKER]);
    assert!(signals(&actions).is_empty());
}

#[test]
fn a_recovered_suspect_serves_again_when_its_stand_in_has_died() {
    let (mut pool, stand_in) = suspected();
    pool.ready(stand_in);
    pool.crash(stand_in);
    pool.silent.clear();
    pool.run(Duration::from_millis(250));
    assert_eq!(pool.current(0), WORKER);
    assert!(drained(&pool.take()).is_empty());
}

#[test]
fn ten_silent_seconds_are_a_hang() {
    let (mut pool, stand_in) = suspected();
    pool.ready(stand_in);
    pool.take();
    pool.run(Duration::from_millis(8_900));
    assert!(signals(&pool.take()).is_empty());
    pool.run(Duration::from_millis(200));
    assert_eq!(signals(&pool.take()), [(WORKER, Signal::Abort)]);
    pool.run(Duration::from_secs(2));
    assert_eq!(signals(&pool.take()), [(WORKER, Signal::Kill)]);
    pool.exit(WORKER, pool::KILLED);
    let actions = pool.take();
    assert_eq!(deaths(&actions), [(WORKER, Reason::Hang)]);
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Spawn { .. }))
    );
}

#[test]
fn a_body_that_is_not_reaped_is_killed_again() {
    let (mut pool, stand_in) = suspected();
    pool.ready(stand_in);
    pool.run(Duration::from_secs(22));
    let kills = signals(&pool.take());
    let expected = [Signal::Abort, Signal::Kill, Signal::Kill, Signal::Kill];
    assert_eq!(kills, expected.map(|signal| (WORKER, signal)));
}

#[test]
fn a_hung_agent_gets_no_second_one_until_it_is_reaped() {
    let mut pool = Pool::of(2);
    pool.silent.insert(AGENT);
    pool.run(Duration::from_secs(13));
    let actions = pool.take();
    assert_eq!(
        signals(&actions),
        [(AGENT, Signal::Abort), (AGENT, Signal::Kill)]
    );
    assert!(steers(&actions).is_empty(), "traffic is untouched");
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Spawn { .. }))
    );
    pool.exit(AGENT, pool::KILLED);
    assert_eq!(pool.spawned().len(), 1);
}

#[test]
fn the_only_worker_is_steered_to_even_when_suspect() {
    let mut pool = Pool::of(1);
    pool.silent.insert(WORKER);
    pool.run(Duration::from_secs(2));
    assert_eq!(pool.state(WORKER), State::Suspect);
    assert_eq!(pool.supervisor.steered().len(), 1);
}

#[test]
fn nobody_is_punished_for_the_masters_own_sleep() {
    let mut pool = Pool::of(2);
    pool.silent.extend([AGENT, WORKER, InstanceId(3)]);
    pool.now = pool.now + Duration::from_mins(1);
    pool.tell(Event::Timer);
    let actions = pool.take();
    let slept = |action: &Action| matches!(action, Action::Report(Report::Slept { .. }));
    assert_eq!(actions.len(), 1);
    assert!(slept(&actions[0]));
    pool.silent.clear();
    pool.run(Duration::from_secs(20));
    assert!(pool.take().is_empty());
}

#[test]
fn a_worker_that_stutters_gets_its_stand_ins_later_and_later() {
    let mut pool = Pool::of(2);
    let mut starts = 0;
    for _ in 0..40 {
        pool.silent.insert(WORKER);
        pool.run(Duration::from_millis(1_100));
        pool.silent.clear();
        pool.run(Duration::from_millis(500));
        for (stand_in, ..) in pool.spawned() {
            starts += 1;
            pool.exit(stand_in, SIGABRT);
        }
    }
    assert!(
        (2..15).contains(&starts),
        "{starts} stand-ins for 40 stutters"
    );
}

#[test]
fn at_most_two_of_a_slot_are_on_their_way_out() {
    let mut pool = Pool::of(2);
    for _ in 0..3 {
        let silent = pool.current(0);
        pool.silent.insert(silent);
        pool.run(Duration::from_millis(1_100));
        assert!(signals(&pool.actions).is_empty());
        let stand_in = pool.one_spawned();
        pool.ready(stand_in);
    }
    assert_eq!(signals(&pool.take()), [(WORKER, Signal::Kill)]);
}
