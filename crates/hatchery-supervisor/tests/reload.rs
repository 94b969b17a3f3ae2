//! Reload: preflight, canary, agent, batches, abort and roll-back, coalescing.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{
    Action, Command, Event, ExitStatus, Generation, InstanceId, Phase, Policy, Reason, RequestId,
    Signal,
};
use pool::{AGENT, KILLED, Pool, deaths, drained, quiet, signals};

/// A pool of `workers` with a reload to generation 2 past its preflight, and its canary.
fn reloading(workers: u32) -> (Pool, RequestId, InstanceId) {
    let mut pool = Pool::of(workers);
    let request = pool.ask(Command::Reload);
    assert!(pool.take().contains(&Action::Check {
        generation: Generation(2)
    }));
    pool.checked(2, quiet(workers));
    assert_eq!(pool.supervisor.phase(), Phase::Reloading);
    let canary = pool.one_spawned();
    (pool, request, canary)
}

/// As far as the agent of the new generation.
fn canary_passed(workers: u32) -> (Pool, RequestId, InstanceId) {
    let (mut pool, request, canary) = reloading(workers);
    pool.ready(canary);
    pool.run(Duration::from_secs(1));
    let actions = pool.take();
    assert_eq!(drained(&actions), [InstanceId(2), AGENT]);
    pool.exit(InstanceId(2), ExitStatus::Code(0));
    pool.exit(AGENT, ExitStatus::Code(0));
    let agent = pool.one_spawned();
    (pool, request, agent)
}

#[test]
fn a_refused_preflight_touches_nothing() {
    let mut pool = Pool::of(2);
    let request = pool.ask(Command::Reload);
    pool.tell(Event::Checked {
        generation: Generation(2),
        result: Err("unknown key".to_owned()),
    });
    assert_eq!(pool.answers(request), [Err("unknown key".to_owned())]);
    let actions = pool.take();
    assert!(drained(&actions).is_empty() && signals(&actions).is_empty());
    assert!(actions.contains(&Action::Forget {
        generation: Generation(2)
    }));
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
}

#[test]
fn the_canary_must_live_for_min_ready() {
    let (mut pool, _, canary) = reloading(4);
    pool.ready(canary);
    pool.run(Duration::from_millis(990));
    assert!(drained(&pool.take()).is_empty());
    pool.run(Duration::from_millis(10));
    assert!(drained(&pool.take()).contains(&InstanceId(2)));
}

#[test]
fn batches_follow_each_other_and_the_floor_holds() {
    let (mut pool, request, agent) = canary_passed(4);
    pool.ready(agent);
    for old in [3, 4, 5].map(InstanceId) {
        let new = pool.one_spawned();
        assert_eq!(pool.supervisor.ready_workers(), 4);
        pool.ready(new);
        assert_eq!(drained(&pool.actions), [old]);
        assert_eq!(pool.supervisor.ready_workers(), 4);
    }
    let line = "generation 2: 4 workers and the agent replaced".to_owned();
    assert_eq!(pool.answers(request), [Ok(line)]);
    assert_eq!(pool.supervisor.generation(), Generation(2));
    let forget = Action::Forget {
        generation: Generation(1),
    };
    assert!(!pool.take().contains(&forget), "the old ones still drain");
    for old in [3, 4, 5].map(InstanceId) {
        pool.exit(old, ExitStatus::Code(0));
    }
    let actions = pool.take();
    assert!(actions.contains(&forget));
    assert!(
        deaths(&actions)
            .iter()
            .all(|death| death.1 == Reason::Reload)
    );
}

#[test]
fn a_batch_is_a_share_of_the_pool() {
    let (mut pool, _, agent) = canary_passed(8);
    pool.ready(agent);
    assert_eq!(pool.spawned().len(), 2);
}

#[test]
fn one_worker_is_reloaded_like_many() {
    let (mut pool, request, agent) = canary_passed(1);
    pool.ready(agent);
    assert_eq!(pool.answers(request).len(), 1);
}

/// One row a way in which the canary can fail: nothing was touched, the answer comes at once.
#[test]
fn a_failing_canary_leaves_the_old_generation_alone() {
    type Fail = fn(&mut Pool, InstanceId);
    let table: [(Fail, &str); 5] = [
        (
            |pool, id| pool.crash(id),
            "worker 0 did not start: exit code 101",
        ),
        (
            |pool, id| {
                pool.tell(Event::BootFailed {
                    instance: id,
                    reason: "no database".to_owned(),
                });
                pool.crash(id);
            },
            "worker 0 did not start: no database",
        ),
        (
            |pool, _| pool.run(Duration::from_secs(61)),
            "worker 0 did not start: not ready within 60s",
        ),
        (
            |pool, id| {
                pool.ready(id);
                pool.exit(id, KILLED);
            },
            "worker 0 failed: signal 9",
        ),
        (
            |pool, id| {
                pool.ready(id);
                pool.silent.insert(id);
                pool.run(Duration::from_secs(11));
            },
            "worker 0 failed: silent for 10s",
        ),
    ];
    for (fail, reason) in table {
        let (mut pool, request, canary) = reloading(4);
        fail(&mut pool, canary);
        assert_eq!(pool.answers(request), [Err(reason.to_owned())]);
        let actions = pool.take();
        assert!(drained(&actions).is_empty(), "{reason}");
        assert!(signals(&actions).iter().all(|(id, _)| *id == canary));
        assert_eq!(pool.current(0), InstanceId(2));
        assert_eq!(pool.supervisor.ready_workers(), 4);
        assert_eq!(pool.supervisor.generation(), Generation(1));
        assert_eq!(pool.supervisor.phase(), Phase::Ready);
    }
}

#[test]
fn a_failure_in_a_batch_rolls_everything_back_start_before_stop() {
    let (mut pool, request, agent) = canary_passed(4);
    pool.ready(agent);
    let second = pool.one_spawned();
    pool.crash(second);
    assert!(
        pool.answers(request).is_empty(),
        "slot 0 and the agent are still new"
    );
    assert!(drained(&pool.actions).contains(&agent));
    let restored = pool.spawned();
    assert_eq!(restored.len(), 1);
    assert_eq!((restored[0].1, restored[0].2), (Some(0), Generation(1)));
    pool.ready(restored[0].0);
    assert_eq!(pool.supervisor.ready_workers(), 4);
    pool.exit(agent, ExitStatus::Code(0));
    let old_agent = pool.one_spawned();
    pool.ready(old_agent);
    let why = "worker 1 did not start: exit code 101; generation 1 restored";
    assert_eq!(pool.answers(request), [Err(why.to_owned())]);
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
}

#[test]
fn a_failing_agent_of_the_new_generation_rolls_back() {
    let (mut pool, request, agent) = canary_passed(2);
    pool.crash(agent);
    let restored = pool.spawned();
    assert!(restored.iter().all(|start| start.2 == Generation(1)));
    for (id, ..) in restored {
        pool.ready(id);
    }
    let answers = pool.answers(request);
    assert!(matches!(&answers[..], [Err(why)] if why.starts_with("agent did not start")));
}

#[test]
fn requests_during_a_reload_share_one_follow_up() {
    let (mut pool, first, canary) = reloading(1);
    let second = pool.ask(Command::Reload);
    let third = pool.ask(Command::Reload);
    pool.crash(canary);
    assert_eq!(pool.answers(first).len(), 1);
    let checks = |pool: &Pool| {
        let check = |action: &&Action| matches!(action, Action::Check { .. });
        pool.actions.iter().filter(check).count()
    };
    assert_eq!(checks(&pool), 1, "one follow-up for both");
    assert!(pool.answers(second).is_empty());
    pool.tell(Event::Checked {
        generation: Generation(3),
        result: Err("no".to_owned()),
    });
    for request in [second, third] {
        assert_eq!(pool.answers(request), [Err("no".to_owned())]);
    }
    assert_eq!(checks(&pool), 1);
}

#[test]
fn a_crash_of_the_old_worker_lets_the_new_one_take_its_place() {
    let (mut pool, _, canary) = reloading(2);
    pool.crash(InstanceId(2));
    assert!(pool.spawned().is_empty(), "no second start");
    pool.ready(canary);
    assert_eq!(pool.current(0), canary);
}

#[test]
fn a_new_ready_time_out_counts_for_the_new_release() {
    let mut pool = Pool::of(2);
    let request = pool.ask(Command::Reload);
    let patient = Policy {
        ready_timeout: Duration::from_mins(5),
        ..quiet(2)
    };
    pool.checked(2, patient);
    pool.run(Duration::from_mins(4));
    assert!(pool.answers(request).is_empty());
    let actions = pool.take();
    assert!(
        !signals(&actions)
            .iter()
            .any(|(_, signal)| *signal == Signal::Kill)
    );
}

#[test]
fn a_new_configuration_can_change_the_number_of_workers() {
    let mut pool = Pool::of(1);
    pool.boots_in = Some(Duration::from_millis(100));
    pool.ask(Command::Reload);
    pool.checked(2, quiet(3));
    pool.run(Duration::from_secs(2));
    pool.exit(AGENT, ExitStatus::Code(0));
    pool.run(Duration::from_secs(2));
    assert_eq!(pool.supervisor.workers_wanted(), 3);
    assert_eq!(pool.supervisor.ready_workers(), 3);
}

/// Found by the simulator: the timer of `min_ready` and the canary's death in one moment.
#[test]
fn a_canary_that_dies_at_the_last_moment_has_failed() {
    let (mut pool, request, canary) = reloading(2);
    pool.ready(canary);
    pool.run(Duration::from_millis(900));
    pool.now = pool.now + Duration::from_millis(100);
    pool.crash(canary);
    assert_eq!(pool.answers(request).len(), 1);
    assert!(drained(&pool.take()).is_empty());
}

/// Found by the simulator: another of the batch is not ready in time in the moment in which the
/// former worker's end is told.
#[test]
fn a_batch_that_fails_leaves_the_new_worker_where_the_former_one_is_gone() {
    let former = InstanceId(3);
    let table = [
        Event::Leaving { instance: former },
        Event::Exited {
            instance: former,
            status: KILLED,
        },
    ];
    for event in table {
        let (mut pool, _, agent) = canary_passed(8);
        pool.ready(agent);
        let batch = pool.spawned();
        assert_eq!((batch[0].1, batch[1].1), (Some(1), Some(2)));
        pool.ready(batch[0].0);
        pool.run(Duration::from_millis(59_900));
        pool.take();
        pool.now = pool.now + Duration::from_millis(200);
        pool.tell(event.clone());
        assert_eq!(pool.current(1), batch[0].0, "{event:?}");
        assert!(!drained(&pool.actions).contains(&batch[0].0), "{event:?}");
        // As everywhere else, the former generation comes back, start before stop.
        let restored = pool.spawned();
        let restored = restored.iter().find(|start| start.1 == Some(1));
        assert_eq!(restored.map(|start| start.2), Some(Generation(1)));
    }
}
