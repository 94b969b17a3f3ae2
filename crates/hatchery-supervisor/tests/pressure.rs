//! Memory pressure: the ladder's effects, and replacements where there is no room.

mod pool;

use std::time::Duration;

use hatchery_supervisor::{
    Action, Command, Event, ExitStatus, InstanceId, Policy, PressureReading, Reason, Report, State,
};
use pool::{AGENT, MIB, Pool, drained, quiet};

fn group(permille: u32) -> PressureReading {
    PressureReading {
        group_permille: Some(permille),
        ..PressureReading::default()
    }
}

fn room(available_bytes: u64) -> PressureReading {
    PressureReading {
        available_bytes: Some(available_bytes),
        ..PressureReading::default()
    }
}

fn read(pool: &mut Pool, reading: PressureReading) {
    pool.tell(Event::Pressure { reading });
}

fn levels(actions: &[Action]) -> Vec<u8> {
    let level = |action: &Action| match action {
        Action::Pressure { level } => Some(*level),
        _ => None,
    };
    actions.iter().filter_map(level).collect()
}

fn no_room_told(actions: &[Action]) -> usize {
    let told = |action: &&Action| matches!(action, Action::Report(Report::NoRoom { .. }));
    actions.iter().filter(told).count()
}

/// A pool whose workers (from #2) were measured at 100 MiB and have been there for two minutes.
fn measured(policy: Policy) -> Pool {
    let mut pool = Pool::up(policy);
    pool.boots_in = Some(Duration::from_millis(100));
    pool.run(Duration::from_mins(2));
    pool.boots_in = None;
    let ids: Vec<InstanceId> = pool.supervisor.instances().map(|i| i.id).collect();
    for id in ids {
        pool.memory(id, 100 * MIB);
    }
    pool.take();
    pool
}

#[test]
fn a_level_is_climbed_at_once_and_left_one_by_one_after_calm() {
    let mut pool = Pool::of(2);
    read(&mut pool, group(960));
    assert_eq!(levels(&pool.take()), [3]);
    let (level, why) = pool.supervisor.pressure();
    assert_eq!(
        (level, why),
        (3, "the control group's limit is used up to 96.00 %")
    );
    read(&mut pool, group(800));
    pool.run(Duration::from_secs(29));
    assert!(levels(&pool.take()).is_empty());
    pool.run(Duration::from_secs(1));
    assert_eq!(levels(&pool.take()), [2]);
    // A reading of the present level starts the calm time anew.
    pool.run(Duration::from_secs(20));
    read(&mut pool, group(910));
    read(&mut pool, group(800));
    pool.run(Duration::from_secs(29));
    assert!(levels(&pool.take()).is_empty());
    pool.run(Duration::from_secs(31));
    assert_eq!(levels(&pool.take()), [1, 0]);
    assert_eq!(pool.supervisor.pressure(), (0, ""));
}

#[test]
fn from_level_two_on_the_pool_does_not_grow() {
    let mut pool = measured(Policy {
        spares: 1,
        lifetime: Duration::from_mins(3),
        ..quiet(2)
    });
    read(&mut pool, group(900));
    assert_eq!(drained(&pool.take()), [InstanceId(4)], "the spare goes");
    pool.exit(InstanceId(4), ExitStatus::Code(0));
    let up = pool.ask(Command::Scale { workers: 3 });
    let answers = pool.answers(up);
    assert!(matches!(&answers[..], [Err(why)] if why.contains("memory is short (level 2")));
    let by = pool.ask(Command::ScaleBy { delta: 1 });
    assert!(pool.answers(by)[0].is_err());
    let down = pool.ask(Command::ScaleBy { delta: 0 });
    assert!(pool.answers(down)[0].is_ok());
    // No recycle for age, no stand-in for a suspect.
    pool.run(Duration::from_mins(2));
    pool.silent.insert(InstanceId(2));
    pool.run(Duration::from_secs(5));
    assert_eq!(pool.state(InstanceId(2)), State::Suspect);
    assert!(pool.spawned().is_empty());
    // A worker that is gone is replaced.
    pool.silent.clear();
    pool.crash(InstanceId(3));
    assert_eq!(pool.spawned().len(), 1);
}

#[test]
fn workers_that_a_new_configuration_wants_wait_until_memory_allows_them() {
    let mut pool = Pool::of(1);
    read(&mut pool, group(900));
    pool.ask(Command::Reload);
    pool.checked(2, quiet(3));
    let canary = pool.one_spawned();
    pool.ready(canary);
    pool.run(Duration::from_secs(1));
    for old in [InstanceId(2), AGENT] {
        pool.exit(old, ExitStatus::Code(0));
    }
    let agent = InstanceId(4);
    pool.ready(agent);
    assert_eq!(pool.supervisor.generation().0, 2);
    assert_eq!(pool.supervisor.workers_wanted(), 1);
    read(&mut pool, group(0));
    pool.take();
    pool.run(Duration::from_secs(31));
    assert_eq!(pool.supervisor.workers_wanted(), 3);
    assert_eq!(pool.spawned().len(), 2);
}

#[test]
fn at_level_three_the_fattest_goes_first_and_comes_back() {
    let mut pool = measured(quiet(3));
    pool.memory(InstanceId(3), 300 * MIB);
    read(&mut pool, group(950));
    let actions = pool.take();
    assert_eq!(drained(&actions), [InstanceId(3)]);
    assert!(actions.contains(&Action::Drain {
        instance: InstanceId(3),
        limit: pool.supervisor.policy().drain_timeout,
        successor: false,
    }));
    // One at a time, and its successor when it is gone.
    pool.run(Duration::from_secs(5));
    assert!(pool.spawned().is_empty());
    pool.exit(InstanceId(3), ExitStatus::Code(0));
    let died = |action: &Action| {
        matches!(action, Action::Report(Report::Died { reason: Reason::Memory, detail: Some(why), .. })
            if why == "the fattest while memory is short")
    };
    assert!(pool.actions.iter().any(died));
    let new = pool.one_spawned();
    pool.ready(new);
    pool.run(Duration::from_secs(20));
    assert!(drained(&pool.take()).is_empty());
    pool.run(Duration::from_secs(10));
    assert_eq!(
        drained(&pool.take()),
        [InstanceId(4)],
        "the next, after a pause"
    );
}

#[test]
fn the_floor_holds_at_level_three() {
    let mut pool = measured(quiet(1));
    read(&mut pool, group(990));
    pool.run(Duration::from_mins(2));
    assert!(drained(&pool.take()).is_empty(), "never the only one");

    let mut pool = measured(quiet(2));
    pool.crash(InstanceId(2));
    read(&mut pool, group(990));
    pool.run(Duration::from_secs(10));
    assert!(
        drained(&pool.take()).is_empty(),
        "not while another is missing"
    );
}

/// Found by the simulator: the pause between two that are stopped ends in the moment in which
/// another worker is told to be gone, or to leave.
#[test]
fn the_floor_holds_against_what_is_just_being_told() {
    let other = InstanceId(2);
    let table = [
        Event::Leaving { instance: other },
        Event::Exited {
            instance: other,
            status: ExitStatus::Code(1),
        },
    ];
    for event in table {
        let mut pool = measured(quiet(3));
        read(&mut pool, group(950));
        let first = drained(&pool.take())[0];
        pool.exit(first, ExitStatus::Code(0));
        let new = pool.one_spawned();
        pool.ready(new);
        pool.run(Duration::from_millis(29_900));
        assert!(drained(&pool.take()).is_empty());
        pool.now = pool.now + Duration::from_millis(200);
        pool.tell(event.clone());
        assert!(drained(&pool.take()).is_empty(), "{event:?}");
    }
}

/// A reload of three workers where a fourth would not fit: each goes before its successor comes.
#[test]
fn without_room_a_reload_stops_before_it_starts() {
    let mut policy = quiet(3);
    policy.surge_percent = 100;
    let mut pool = measured(policy.clone());
    read(&mut pool, room(100 * MIB));
    pool.ask(Command::Reload);
    pool.take();
    pool.checked(2, policy);
    let mut told = 0;
    for (step, old) in [2, 3, 4].map(InstanceId).into_iter().enumerate() {
        let actions = pool.take();
        told += no_room_told(&actions);
        assert_eq!(drained(&actions), [old], "one at a time");
        assert!(!actions.iter().any(|a| matches!(a, Action::Spawn { .. })));
        pool.exit(old, ExitStatus::Code(0));
        let new = pool.one_spawned();
        pool.ready(new);
        if step == 0 {
            pool.run(Duration::from_secs(1));
            assert_eq!(drained(&pool.take()), [AGENT]);
            pool.exit(AGENT, ExitStatus::Code(0));
            let agent = pool.one_spawned();
            pool.ready(agent);
        }
    }
    assert_eq!(told, 1);
    assert_eq!(pool.supervisor.generation().0, 2);
    assert_eq!(pool.supervisor.ready_workers(), 3);
}

#[test]
fn a_canary_that_fails_without_room_is_undone() {
    let mut pool = measured(quiet(2));
    read(&mut pool, room(MIB));
    let request = pool.ask(Command::Reload);
    pool.checked(2, quiet(2));
    pool.exit(InstanceId(2), ExitStatus::Code(0));
    pool.take();
    let canary = InstanceId(4);
    pool.crash(canary);
    let restored = pool.one_spawned();
    assert_eq!(
        pool.supervisor.instance(restored).map(|i| i.generation.0),
        Some(1)
    );
    assert!(pool.answers(request).is_empty());
    pool.ready(restored);
    let answers = pool.answers(request);
    assert!(matches!(&answers[..], [Err(why)] if why.contains("generation 1 restored")));
}

#[test]
fn with_room_or_with_one_worker_the_new_one_starts_first() {
    let table = [
        (2, room(120 * MIB), true),
        (2, room(119 * MIB), false),
        (1, room(0), true),
        (2, PressureReading::default(), true),
    ];
    for (workers, reading, starts_first) in table {
        let mut pool = measured(quiet(workers));
        read(&mut pool, reading);
        pool.ask(Command::Reload);
        pool.take();
        pool.checked(2, quiet(workers));
        let actions = pool.take();
        assert_eq!(
            drained(&actions).is_empty(),
            starts_first,
            "{workers} {reading:?}"
        );
    }
}

/// The worker that went first may be the only one that a scale down leaves.
#[test]
fn a_scale_waits_until_a_slot_that_was_stopped_first_is_served_again() {
    let mut pool = measured(quiet(2));
    pool.memory(InstanceId(2), 300 * MIB);
    read(&mut pool, group(950));
    assert_eq!(drained(&pool.take()), [InstanceId(2)]);
    let scale = pool.ask(Command::Scale { workers: 1 });
    pool.exit(InstanceId(2), ExitStatus::Code(0));
    let new = InstanceId(4);
    assert!(pool.answers(scale).is_empty());
    pool.ready(new);
    assert_eq!(pool.answers(scale), [Ok("1 worker".to_owned())]);
    assert_eq!(drained(&pool.take()), [InstanceId(3)]);

    // One that cannot be served does not hold it up for ever.
    let mut pool = measured(quiet(2));
    read(&mut pool, group(950));
    let gone = drained(&pool.take())[0];
    let scale = pool.ask(Command::ScaleBy { delta: -1 });
    pool.exit(gone, ExitStatus::Code(0));
    pool.crash(InstanceId(4));
    assert_eq!(pool.answers(scale), [Ok("1 worker".to_owned())]);
}

/// Found by the simulator: its predecessor, a suspect, comes back before a successor is started.
#[test]
fn a_scale_does_not_wait_for_a_slot_that_a_recovered_suspect_serves() {
    let mut pool = measured(Policy {
        hang_timeout: Duration::from_mins(5),
        ..quiet(2)
    });
    let (suspect, stand_in) = (InstanceId(2), InstanceId(4));
    pool.silent.insert(suspect);
    pool.run(Duration::from_secs(2));
    pool.ready(stand_in);
    pool.run(Duration::from_secs(61));
    pool.memory(stand_in, 300 * MIB);
    pool.take();
    read(&mut pool, group(950));
    assert_eq!(drained(&pool.take()), [stand_in]);
    pool.silent.clear();
    pool.run(Duration::from_secs(1));
    assert_eq!(pool.current(0), suspect);
    pool.exit(stand_in, ExitStatus::Code(0));
    let scale = pool.ask(Command::Scale { workers: 1 });
    assert_eq!(pool.answers(scale), [Ok("1 worker".to_owned())]);
}
