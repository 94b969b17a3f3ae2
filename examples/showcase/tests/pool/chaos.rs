//! Everything at once, in an order that a seed decides: whatever happens, only the requests of
//! those who died are lost, and in the end the pool is whole.

use std::time::Instant;

use rustix::process::Signal;

use crate::support::{Builder, Load, Plan, Pool, Process, SOON, alone, wait_until};

/// Set to another number to try another order.
const SEED_VARIABLE: &str = "SHOWCASE_CHAOS_SEED";

const ACTIONS: usize = 60;

/// A small generator; the order need not be better than different.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Does one thing to the pool. Returns the worker that this kills, if it kills one.
fn act(pool: &Pool, dice: &mut Dice) -> Option<u32> {
    let status = pool.status();
    let index = dice.below(status.workers.len().max(1));
    let worker = status
        .workers
        .get(index)
        .and_then(|worker| Process::of(worker.pid));
    match dice.below(8) {
        0 | 1 => {
            worker?.signal(Signal::KILL);
            return Some(worker?.pid);
        }
        2 => worker?.signal(Signal::TERM),
        3 => Process::of(status.agent?.pid)?.signal(Signal::KILL),
        4 => drop(pool.cli(&["reload", "--no-wait"])),
        5 => drop(pool.cli(&["reload"])),
        6 => drop(pool.cli(&["scale", &(2 + dice.below(5)).to_string(), "--no-wait"])),
        _ => {
            // Shorter than what makes a suspect.
            worker?.signal(Signal::STOP);
            let (stopped, pause) = (Instant::now(), dice.below(300) as u128);
            wait_until("the pause is over", SOON, || {
                stopped.elapsed().as_millis() >= pause
            });
            worker?.signal(Signal::CONT);
        }
    }
    None
}

#[test]
fn whatever_happens_only_the_dead_lose_requests_and_the_pool_becomes_whole() {
    let _alone = alone();
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().unwrap());
    println!("{SEED_VARIABLE}={seed}");
    let mut dice = Dice(seed);
    let pool = Builder::new()
        .set("cluster.crash_budget_per_worker", 100)
        .set("cluster.backoff_max", "200ms")
        .set("showcase.boot_delay", "100ms")
        .set("cluster.lifetime", "3s")
        .set("cluster.lifetime_spacing", "200ms")
        .start();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let began = Instant::now();
    let mut victims = Vec::new();
    for _ in 0..ACTIONS {
        victims.extend(act(&pool, &mut dice));
        load.serve_more(1 + dice.below(60) as u64);
    }
    pool.wait_whole(2 * SOON);
    load.serve_more(100);
    println!("{ACTIONS} actions in {:?}", began.elapsed());
    load.finish()
        .assert_only_cut_by_deaths(victims.len(), Plan::BOTH);
    let zombies = pool
        .master()
        .children()
        .into_iter()
        .filter(|child| child.is_zombie());
    assert_eq!(zombies.count(), 0, "everybody is reaped");
}
