//! Everything at once, in an order that a seed decides: whatever happens, only what was inside
//! those who died is lost, the ledger knows of all of it, and in the end the pool is whole.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Clients, Cluster, Connection, OpenLoop, Process, REQUEST_LIMIT, Request, SOON, Status, alone,
    showcase, wait_until,
};

/// Set to another number to try another order.
const SEED_VARIABLE: &str = "SHOWCASE_CHAOS_SEED";

/// Set to let it go on for longer.
const SECONDS_VARIABLE: &str = "SHOWCASE_CHAOS_SECONDS";

const SECONDS: u64 = 25;

/// Between two actions.
const PAUSE_MS_MAX: usize = 1000;

/// What the master's memory may grow by, bytes: its buffers and rings have their bounds, and are
/// not full at the beginning.
const GROWTH_MAX: u64 = 4 << 20;

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

/// What can happen. Each strikes one worker, unless it says otherwise.
#[derive(Clone, Copy, Debug)]
enum Act {
    Kill,
    Terminate,
    /// Stopped for so short a time that nobody notices, or for so long that a stand-in comes.
    Stop,
    /// A request that ends the process, or hangs it for ever or a while.
    Fault(&'static str),
    KillAgent,
    Reload,
    ReloadNoWait,
    Scale,
    /// The master becomes a new image of itself.
    Upgrade,
}

const ACTS: [Act; 19] = [
    Act::Kill,
    Act::Kill,
    Act::Terminate,
    Act::Stop,
    Act::Stop,
    Act::Fault("/faults/panic"),
    Act::Fault("/faults/abort"),
    Act::Fault("/faults/segv"),
    Act::Fault("/faults/exit?code=3"),
    Act::Fault("/faults/block"),
    Act::Fault("/faults/spin"),
    Act::Fault("/faults/block?ms=1500"),
    Act::Fault("/faults/leak?mb=48"),
    Act::KillAgent,
    Act::Reload,
    Act::ReloadNoWait,
    Act::Scale,
    Act::Upgrade,
    Act::Upgrade,
];

impl Act {
    fn happen(self, pool: &Cluster, dice: &mut Dice, waiting: &mut Vec<Connection>) -> Option<()> {
        let status = pool.status();
        let index = dice.below(status.workers.len().max(1));
        let worker = || Process::of(status.workers.get(index)?.pid);
        match self {
            Self::Kill => worker()?.signal(Signal::KILL),
            Self::Terminate => worker()?.signal(Signal::TERM),
            Self::Stop => {
                let worker = worker()?;
                worker.signal(Signal::STOP);
                let (stopped, pause) = (Instant::now(), dice.below(1500) as u128);
                wait_until("the pause is over", SOON, || {
                    stopped.elapsed().as_millis() >= pause
                });
                worker.signal(Signal::CONT);
            }
            Self::Fault(path) => {
                // Nobody waits for the answer: there may be none.
                let mut connection = Connection::open(&pool.target(), REQUEST_LIMIT).ok()?;
                connection.send(&Request::post(path, "")).ok()?;
                waiting.push(connection);
            }
            Self::KillAgent => Process::of(status.agent?.pid)?.signal(Signal::KILL),
            Self::Reload => drop(pool.cli(&["reload"])),
            Self::ReloadNoWait => drop(pool.cli(&["reload", "--no-wait"])),
            Self::Scale => {
                let workers = (2 + dice.below(5)).to_string();
                drop(pool.cli(&["scale", &workers, "--no-wait"]));
            }
            Self::Upgrade => drop(pool.cli(&["upgrade"])),
        }
        Some(())
    }
}

/// What the master has of what must not grow.
#[derive(Debug)]
struct Footprint {
    descriptors: usize,
    rss_bytes: u64,
}

fn footprint(pool: &Cluster) -> Footprint {
    let status = pool.status();
    Footprint {
        descriptors: descriptors(&status),
        rss_bytes: status.master.rss_bytes,
    }
}

fn descriptors(status: &Status) -> usize {
    let directory = format!("/proc/{}/fd", status.master.pid);
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn whatever_happens_only_the_dead_lose_requests_and_the_pool_becomes_whole() {
    let _alone = alone();
    let variable = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = variable(SEED_VARIABLE, 1);
    let limit = Duration::from_secs(variable(SECONDS_VARIABLE, SECONDS));
    println!(
        "{SEED_VARIABLE}={seed} {SECONDS_VARIABLE}={}",
        limit.as_secs()
    );
    let mut dice = Dice(seed);
    let pool = showcase()
        .set("cluster.crash_budget_per_worker", 1000)
        .set("cluster.backoff_max", "200ms")
        .set("cluster.spares", 1)
        .set("cluster.heartbeat_interval", "100ms")
        .set("cluster.suspect_after", "700ms")
        .set("cluster.hang_timeout", "3s")
        .set("cluster.abort_grace", "500ms")
        .set("cluster.lifetime", "3s")
        .set("cluster.lifetime_spacing", "200ms")
        .set("cluster.memory_soft", "128MiB")
        .set("cluster.memory_interval", "500ms")
        .set("showcase.boot_delay", "100ms")
        .start();
    // Sockets are never closed when the pool shrinks: the largest pool has been there before.
    pool.cli_ok(&["scale", "6"]);
    pool.cli_ok(&["scale", "4"]);
    pool.cli_ok(&["upgrade"]);
    pool.wait_whole(2 * SOON);
    let before = footprint(&pool);

    let load = OpenLoop::start(&pool.target(), Clients::BOTH);
    let began = Instant::now();
    let mut waiting = Vec::new();
    let mut acts = 0_u32;
    while began.elapsed() < limit {
        let act = ACTS[dice.below(ACTS.len())];
        println!("{:?} {act:?}", began.elapsed());
        if act.happen(&pool, &mut dice, &mut waiting).is_some() {
            acts += 1;
        }
        let (since, pause) = (Instant::now(), dice.below(PAUSE_MS_MAX) as u128);
        wait_until("a pause", SOON, || since.elapsed().as_millis() >= pause);
    }
    pool.cli_ok(&["scale", "4"]);
    pool.wait_whole(3 * SOON);
    load.serve_more(200);
    let account = load.finish();
    println!("{acts} acts: {account}");
    drop(waiting);

    account.assert_only_cut();
    let status = pool.wait_status("whole, and nobody of before is left", 3 * SOON, |status| {
        status.is_whole(4) && status.orphans.is_empty()
    });
    let losses = &status.losses;
    println!("the ledger: {losses:?}; hand-overs: {:?}", status.handovers);
    let causes = losses.by_cause.values();
    let sum = causes.fold((0, 0), |(requests, connections), cut| {
        (requests + cut.requests, connections + cut.connections)
    });
    let total = (losses.requests, losses.connections);
    assert_eq!(sum, total, "each loss has a cause");
    assert!(
        account.connections_lost() <= losses.connections,
        "{} connections were lost, the ledger knows of {}: {account}",
        account.connections_lost(),
        losses.connections,
    );
    // A request that was sent and not yet read is lost with its connection.
    let in_pipes = losses.connections * Clients::BOTH.pipeline as u64;
    assert!(
        account.requests_lost() <= losses.requests + in_pipes,
        "{account}"
    );

    let after = footprint(&pool);
    println!("the master: {before:?} -> {after:?}");
    // That of the last question is closed a moment after the answer.
    wait_until("no descriptor is left over", SOON, || {
        descriptors(&status) <= before.descriptors
    });
    assert!(
        after.rss_bytes <= before.rss_bytes + GROWTH_MAX,
        "{before:?} -> {after:?}"
    );
    wait_until("nobody is there who should not be", SOON, || {
        // Master, agent, four workers, a spare.
        pool.processes().len() == 7
    });
    let children = pool.master().children();
    let zombies = children.iter().filter(|child| child.is_zombie()).count();
    assert_eq!(zombies, 0, "everybody is reaped");
}
