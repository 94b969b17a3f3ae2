//! The fixed seeds of the simulator: ten thousand simulated hours with faults in each.

mod simulator;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use simulator::{Outcome, Simulation};

const SEEDS: u64 = 128;
const HOURS_EACH: u64 = 80;
const _: () = assert!(SEEDS * HOURS_EACH >= 10_000);

/// Random seeds that once found something, and the hours that it took them.
const FOUND: [(u64, u64); 9] = [
    (374_114_368, 119),
    (550_094_307, 130),
    (919_819_009, 44),
    (1_591_461_097, 103),
    (1_874_032_687, 171),
    (1_936_144_263, 185),
    (2_053_099_154, 33),
    (4_090_775_173, 194),
    (4_248_617_657, 145),
];

#[test]
fn no_checker_objects_in_ten_thousand_hours() {
    let seeds: Vec<(u64, u64)> = FOUND
        .into_iter()
        .chain((0..SEEDS).map(|seed| (seed, HOURS_EACH)))
        .collect();
    let next = AtomicUsize::new(0);
    let run = || {
        let mut outcomes = Vec::new();
        while let Some((seed, hours)) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            outcomes.push(Simulation::run(*seed, *hours, false, false));
        }
        outcomes
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let other = scope.spawn(run);
        let mut outcomes = run();
        outcomes.extend(other.join().expect("the other half of the seeds"));
        outcomes
    });

    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| {
            let why = outcome.violation.as_ref()?;
            Some(format!(
                "seed {}: {why}\n  {}",
                outcome.seed,
                outcome.replay()
            ))
        })
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    let quiet: u64 = outcomes.iter().map(|outcome| outcome.quiet_hours).sum();
    assert_eq!(quiet, 0, "hours without a fault");
    let rules = [
        "alarm CrashBudgetOver",
        "promoted",
        "spare took a slot",
        "pressure 4",
        "pressure 0",
        "no room",
        "stopped first",
        "slept",
        "died: hang",
        "died: memory",
    ];
    for rule in rules {
        assert!(
            outcomes
                .iter()
                .any(|outcome| outcome.seen.contains_key(rule)),
            "no run has seen: {rule}"
        );
    }
    let faults: u64 = outcomes
        .iter()
        .flat_map(|outcome| outcome.faults.values())
        .sum();
    let events: u64 = outcomes.iter().map(|outcome| outcome.events).sum();
    let forks: u64 = outcomes.iter().map(|outcome| outcome.forks).sum();
    println!("{faults} faults, {forks} forks, {events} events");
}

/// What a re-exec of the master relies on: nobody can tell from what follows that the state was
/// written and read back.
#[test]
fn a_state_that_is_written_and_read_back_goes_on_the_same() {
    for seed in 0..24 {
        let plain = Simulation::run(seed, 4, false, false);
        let restored = Simulation::run(seed, 4, true, false);
        assert_eq!(restored.violation, None, "seed {seed}");
        assert_eq!(plain.trace_hash, restored.trace_hash, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let hash = |seed| Simulation::run(seed, 12, false, false).trace_hash;
    assert_eq!(hash(5), hash(5));
    assert_ne!(hash(5), hash(6));
}
