//! Scale and stop.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{Action, Command, ExitStatus, InstanceId, Phase, Reason, Signal, State};
use pool::{AGENT, KILLED, Pool, deaths, drained, finish, signals, steers};

fn scale(workers: u32) -> Command {
    Command::Scale { workers }
}

#[test]
fn scale_up_answers_when_all_are_ready() {
    let mut pool = Pool::of(2);
    let request = pool.ask(scale(4));
    let new = pool.spawned();
    assert_eq!(new.len(), 2);
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
    pool.ready(new[0].0);
    assert!(pool.answers(request).is_empty());
    pool.ready(new[1].0);
    assert_eq!(pool.answers(request), [Ok("4 workers".to_owned())]);
}

#[test]
fn a_scale_up_that_fails_is_told_and_goes_on() {
    let mut pool = Pool::of(2);
    let request = pool.ask(scale(3));
    let new = pool.one_spawned();
    pool.crash(new);
    let why = "worker 2 did not start: exit code 101".to_owned();
    assert_eq!(pool.answers(request), [Err(why)]);
    assert_eq!(pool.supervisor.workers_wanted(), 3);
    let again = pool.one_spawned();
    pool.ready(again);
    assert_eq!(pool.supervisor.ready_workers(), 3);
}

#[test]
fn scale_down_steers_away_then_drains_the_highest_slots() {
    let mut pool = Pool::of(4);
    let request = pool.ask(scale(2));
    let actions = pool.actions.clone();
    assert_eq!(pool.answers(request), [Ok("2 workers".to_owned())]);
    let steer = actions
        .iter()
        .position(|a| matches!(a, Action::Steer { .. }));
    let drain = actions
        .iter()
        .position(|a| matches!(a, Action::Drain { .. }));
    assert!(steer < drain);
    assert_eq!(steers(&actions), [vec![0, 1]]);
    assert_eq!(drained(&actions), [4, 5].map(InstanceId));
    assert!(actions.iter().all(|action| !matches!(
        action,
        Action::Drain {
            successor: true,
            ..
        }
    )));
    pool.exit(InstanceId(4), ExitStatus::Code(0));
    pool.exit(InstanceId(5), ExitStatus::Code(0));
    assert_eq!(pool.supervisor.slots().count(), 2);
    assert!(
        deaths(&pool.take())
            .iter()
            .all(|death| death.1 == Reason::Scale)
    );
}

#[test]
fn scale_has_its_bounds() {
    let table = [
        (scale(0), false, 2),
        (scale(1025), false, 2),
        (scale(2), true, 2),
        (Command::ScaleBy { delta: -1 }, true, 1),
        (Command::ScaleBy { delta: -5 }, true, 1),
        (Command::ScaleBy { delta: i32::MAX }, false, 2),
    ];
    for (command, accepted, workers) in table {
        let mut pool = Pool::of(2);
        let request = pool.ask(command);
        let answers = pool.answers(request);
        assert_eq!(answers.len(), 1, "{command:?}");
        assert_eq!(answers[0].is_ok(), accepted, "{command:?}");
        assert_eq!(pool.supervisor.workers_wanted(), workers, "{command:?}");
    }
}

#[test]
fn scale_and_reload_wait_for_each_other() {
    let mut pool = Pool::of(1);
    let reload = pool.ask(Command::Reload);
    let up = pool.ask(scale(2));
    assert!(pool.spawned().is_empty());
    pool.tell(hatchery_supervisor::Event::Checked {
        generation: hatchery_supervisor::Generation(2),
        result: Err("no".to_owned()),
    });
    assert_eq!(pool.answers(reload).len(), 1);
    let later = pool.ask(Command::Reload);
    let checks = |pool: &Pool| {
        pool.actions
            .iter()
            .any(|a| matches!(a, Action::Check { .. }))
    };
    assert!(!checks(&pool));
    let new = pool.actions.iter().find_map(|action| match action {
        Action::Spawn { instance, .. } => Some(*instance),
        _ => None,
    });
    pool.ready(new.expect("the scale has begun"));
    assert_eq!(pool.answers(up).len(), 1);
    assert!(checks(&pool));
    assert!(pool.answers(later).is_empty());
}

#[test]
fn stop_ends_workers_then_the_agent_then_the_master() {
    let mut pool = Pool::of(2);
    let request = pool.ask(Command::Stop { fast: false });
    assert_eq!(pool.supervisor.phase(), Phase::Stopping);
    let actions = pool.take();
    assert_eq!(drained(&actions), [2, 3].map(InstanceId));
    assert_eq!(steers(&actions), [Vec::<u32>::new()]);
    pool.exit(InstanceId(2), ExitStatus::Code(0));
    assert!(drained(&pool.take()).is_empty());
    pool.exit(InstanceId(3), ExitStatus::Code(0));
    assert_eq!(drained(&pool.take()), [AGENT]);
    pool.exit(AGENT, ExitStatus::Code(0));
    assert_eq!(pool.answers(request), [Ok("stopped".to_owned())]);
    assert_eq!(finish(&pool.actions), Some(Ok(())));
    assert!(matches!(pool.actions.last(), Some(Action::Finish { .. })));
    assert_eq!(pool.supervisor.next_deadline(), None);
}

#[test]
fn a_second_fast_stop_kills_everyone_at_once() {
    let mut pool = Pool::of(2);
    let first = pool.ask(Command::Stop { fast: false });
    pool.take();
    let second = pool.ask(Command::Stop { fast: true });
    let killed = signals(&pool.take());
    let expected = [1, 2, 3].map(|id| (InstanceId(id), Signal::Kill));
    assert_eq!(killed, expected);
    for (id, _) in expected {
        pool.exit(id, KILLED);
    }
    for request in [first, second] {
        assert_eq!(pool.answers(request).len(), 1);
    }
    assert!(
        deaths(&pool.take())
            .iter()
            .all(|death| death.1 == Reason::Stop)
    );
}

/// Policy table, *kill*: drain, thirty seconds, SIGKILL; also for a blocked worker and agent.
#[test]
fn a_stop_ends_even_when_nobody_listens() {
    let mut pool = Pool::of(1);
    pool.ask(Command::Stop { fast: false });
    pool.run(Duration::from_secs(29));
    assert!(signals(&pool.take()).is_empty());
    pool.run(Duration::from_secs(1));
    assert_eq!(signals(&pool.take()), [(InstanceId(2), Signal::Kill)]);
    pool.exit(InstanceId(2), KILLED);
    assert_eq!(pool.state(AGENT), State::Draining);
    pool.run(Duration::from_secs(30));
    assert_eq!(signals(&pool.take()), [(AGENT, Signal::Kill)]);
}

#[test]
fn a_stop_refuses_everything_else() {
    let mut pool = Pool::of(2);
    let reload = pool.ask(Command::Reload);
    let waiting = pool.ask(scale(3));
    pool.ask(Command::Stop { fast: false });
    let late = pool.ask(scale(3));
    for request in [reload, waiting, late] {
        assert_eq!(pool.answers(request), [Err("stopping".to_owned())]);
    }
}

#[test]
fn a_stop_during_the_start_sends_the_starting_ones_away() {
    let mut pool = Pool::new(pool::quiet(2));
    pool.tell(hatchery_supervisor::Event::Start);
    pool.ask(Command::Stop { fast: false });
    assert_eq!(signals(&pool.take()), [(AGENT, Signal::Term)]);
    pool.exit(AGENT, KILLED);
    assert_eq!(finish(&pool.actions), Some(Ok(())));
}
