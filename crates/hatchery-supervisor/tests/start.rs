//! Start order, readiness, and what a failure at the start means.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{Event, ExitStatus, InstanceId, Phase, Reason, Signal};
use pool::{AGENT, KILLED, Pool, deaths, finish, quiet, signals, told};

#[test]
fn the_agent_is_first_then_all_workers_then_everyone_is_told() {
    let mut pool = Pool::new(quiet(3));
    pool.tell(Event::Start);
    assert_eq!(pool.one_spawned(), AGENT);
    pool.ready(AGENT);
    let slots: Vec<_> = pool.spawned().iter().map(|spawned| spawned.1).collect();
    assert_eq!(slots, [Some(0), Some(1), Some(2)]);
    pool.ready(InstanceId(2));
    pool.ready(InstanceId(3));
    assert!(told(&pool.take()).is_empty());
    assert_eq!(pool.supervisor.phase(), Phase::Starting);
    pool.ready(InstanceId(4));
    let ids: Vec<_> = (1..=4).map(InstanceId).collect();
    assert_eq!(told(&pool.take()), ids);
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
}

#[test]
fn ready_twice_means_nothing() {
    let mut pool = Pool::of(2);
    pool.ready(InstanceId(2));
    assert!(pool.take().is_empty());
}

#[test]
fn a_later_instance_is_told_after_its_own_readiness_once() {
    let mut pool = Pool::of(2);
    pool.crash(InstanceId(2));
    let new = pool.one_spawned();
    pool.ready(new);
    assert_eq!(told(&pool.take()), [new]);
}

/// Before the pool is up, whatever goes wrong ends the master with the role and the reason, after
/// everyone else is killed and reaped.
#[test]
fn a_failure_before_the_pool_is_up_ends_the_master() {
    let worker = InstanceId(2);
    let reason = || "no database".to_owned();
    let exit = |instance| Event::Exited {
        instance,
        status: ExitStatus::Code(1),
    };
    let table: Vec<(Vec<Event>, &str)> = vec![
        (vec![exit(worker)], "worker 0 did not start: exit code 1"),
        (
            vec![
                Event::BootFailed {
                    instance: worker,
                    reason: reason(),
                },
                exit(worker),
            ],
            "worker 0 did not start: no database",
        ),
        (
            vec![Event::SpawnFailed {
                instance: worker,
                reason: reason(),
            }],
            "worker 0 did not start: no database",
        ),
        (
            vec![Event::Ready { instance: worker }, exit(worker)],
            "worker 0 failed: exit code 1",
        ),
        (vec![exit(AGENT)], "agent failed: exit code 1"),
    ];
    for (events, expected) in table {
        let mut pool = Pool::new(quiet(2));
        pool.tell(Event::Start);
        pool.ready(AGENT);
        for event in events {
            pool.tell(event);
        }
        assert_eq!(finish(&pool.actions), None, "others are still alive");
        for (id, signal) in signals(&pool.take()) {
            assert_eq!(signal, Signal::Kill);
            pool.exit(id, KILLED);
        }
        assert_eq!(finish(&pool.actions), Some(Err(expected.to_owned())));
        assert_eq!(pool.supervisor.instances().count(), 0);
    }
}

#[test]
fn a_ready_time_out_at_the_start_is_a_failure() {
    let mut pool = Pool::new(quiet(1));
    pool.tell(Event::Start);
    pool.run(Duration::from_secs(59));
    assert!(signals(&pool.take()).is_empty());
    pool.run(Duration::from_secs(1));
    assert_eq!(signals(&pool.take()), [(AGENT, Signal::Kill)]);
    pool.exit(AGENT, KILLED);
    let why = "agent did not start: not ready within 60s";
    assert_eq!(finish(&pool.actions), Some(Err(why.to_owned())));
    assert_eq!(deaths(&pool.take()), [(AGENT, Reason::Boot)]);
}

#[test]
fn later_a_ready_time_out_is_retried_and_the_slot_does_not_wait_for_the_body() {
    let mut pool = Pool::of(2);
    pool.crash(InstanceId(2));
    let late = pool.one_spawned();
    pool.run(Duration::from_secs(61));
    let actions = pool.actions.clone();
    assert_eq!(signals(&actions), [(late, Signal::Kill)]);
    let next = pool.one_spawned();
    pool.exit(late, KILLED);
    pool.ready(late);
    assert_eq!(deaths(&pool.take()), [(late, Reason::Boot)]);
    pool.ready(next);
    assert_eq!(pool.current(0), next);
}
