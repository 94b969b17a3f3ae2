//! Upgrade: when it begins, who is answered, and the snapshot that it rests on.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{
    Accepted, Action, Command, Event, ExitStatus, Generation, InstanceId, Phase, Supervisor,
};
use pool::{AGENT, Pool, quiet};

fn upgrades(pool: &Pool) -> usize {
    let is_upgrade = |action: &&Action| matches!(action, Action::Upgrade);
    pool.actions.iter().filter(is_upgrade).count()
}

fn upgraded(pool: &mut Pool, result: Result<&str, &str>) {
    pool.tell(Event::Upgraded {
        result: result.map(str::to_owned).map_err(str::to_owned),
    });
}

/// The supervisor as another image of the master would find it.
fn written_and_read(supervisor: &Supervisor) -> Supervisor {
    let written = serde_json::to_string(supervisor);
    match written.and_then(|text| serde_json::from_str(&text)) {
        Ok(supervisor) => supervisor,
        Err(error) => panic!("not read back: {error}"),
    }
}

#[test]
fn one_upgrade_at_a_time_and_one_answer_to_each_who_asked() {
    let mut pool = Pool::of(2);
    let first = pool.ask(Command::Upgrade);
    let second = pool.ask(Command::Upgrade);
    let third = pool.ask(Command::Upgrade);
    assert_eq!(upgrades(&pool), 1);
    assert!(pool.supervisor.is_upgrading());
    upgraded(&mut pool, Ok("2.0"));
    assert_eq!(pool.answers(first), [Ok("2.0".to_owned())]);
    assert!(pool.answers(second).is_empty());
    assert_eq!(upgrades(&pool), 2);
    upgraded(&mut pool, Err("no such file"));
    for request in [second, third] {
        assert_eq!(pool.answers(request), [Err("no such file".to_owned())]);
    }
    upgraded(&mut pool, Ok("nobody asked"));
    assert!(!pool.supervisor.is_upgrading());
}

#[test]
fn upgrade_and_the_rest_wait_for_each_other() {
    let mut pool = Pool::of(1);
    pool.ask(Command::Scale { workers: 2 });
    pool.ask(Command::Upgrade);
    let reload = pool.ask(Command::Reload);
    assert_eq!(upgrades(&pool), 0);
    let new = pool.one_spawned();
    pool.ready(new);
    assert_eq!(upgrades(&pool), 1);
    let check = Action::Check {
        generation: Generation(2),
    };
    assert!(!pool.actions.contains(&check));
    upgraded(&mut pool, Ok("2.0"));
    assert!(pool.actions.contains(&check) && pool.answers(reload).is_empty());
}

#[test]
fn crashes_are_answered_while_the_master_is_upgraded() {
    let mut pool = Pool::of(2);
    pool.ask(Command::Upgrade);
    pool.take();
    pool.crash(InstanceId(2));
    let new = pool.one_spawned();
    pool.supervisor = written_and_read(&pool.supervisor);
    pool.ready(new);
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
}

/// A reload of one worker, with a release that the master is to follow, up to its promotion.
fn reloaded() -> (Pool, hatchery_supervisor::RequestId) {
    let mut pool = Pool::of(1);
    let request = pool.ask(Command::Reload);
    pool.tell(Event::Checked {
        generation: Generation(2),
        result: Ok(Accepted {
            policy: quiet(1),
            upgrade: true,
        }),
    });
    let canary = pool.one_spawned();
    pool.ready(canary);
    pool.run(Duration::from_secs(1));
    pool.take();
    for old in [InstanceId(2), AGENT] {
        pool.exit(old, ExitStatus::Code(0));
    }
    let agent = pool.one_spawned();
    assert_eq!(upgrades(&pool), 0);
    pool.ready(agent);
    assert_eq!(upgrades(&pool), 1);
    assert_eq!(pool.supervisor.generation(), Generation(2));
    assert_eq!(pool.supervisor.phase(), Phase::Ready);
    assert!(pool.answers(request).is_empty());
    (pool, request)
}

#[test]
fn a_reload_that_the_master_follows_is_answered_after_that() {
    let line = "generation 2: 1 worker and the agent replaced";
    let table = [
        (
            Ok("the master runs 2.0"),
            format!("{line}; the master runs 2.0"),
        ),
        (
            Err("no such file"),
            format!("{line}; the master stays on its former binary: no such file"),
        ),
    ];
    for (result, answer) in table {
        let (mut pool, request) = reloaded();
        pool.supervisor = written_and_read(&pool.supervisor);
        upgraded(&mut pool, result);
        assert_eq!(pool.answers(request), [Ok(answer)]);
    }
}

#[test]
fn a_stop_answers_for_the_upgrade_and_what_comes_of_it_later_means_nothing() {
    let (mut pool, reload) = reloaded();
    let stop = pool.ask(Command::Stop { fast: false });
    let answers = pool.answers(reload);
    assert!(matches!(&answers[..], [Ok(text)] if text.contains("stopping")));
    upgraded(&mut pool, Ok("2.0"));
    assert!(pool.answers(stop).is_empty());
    assert_eq!(pool.answers(reload).len(), 1);
}

#[test]
fn what_an_older_image_has_not_written_has_a_default() {
    let mut pool = Pool::of(2);
    let text = serde_json::to_string(&pool.supervisor).expect("it can be written");
    let mut state: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let object = state.as_object_mut().expect("an object");
    object.remove("upgrade");
    object.remove("budget");
    let policy = object["policy"].as_object_mut().expect("an object");
    assert!(policy.remove("probe_interval").is_some());
    object.insert("later".to_owned(), serde_json::Value::Bool(true));
    pool.supervisor = serde_json::from_value(state).expect("it can be read");
    pool.crash(InstanceId(2));
    pool.one_spawned();
}

#[test]
fn numbers_go_on_above_those_of_another_master() {
    let mut pool = Pool::new(quiet(1));
    pool.supervisor.number_above(InstanceId(40));
    pool.tell(Event::Start);
    assert_eq!(pool.one_spawned(), InstanceId(41));
    pool.supervisor.number_above(InstanceId(7));
    pool.ready(InstanceId(41));
    assert_eq!(pool.one_spawned(), InstanceId(42));
}
