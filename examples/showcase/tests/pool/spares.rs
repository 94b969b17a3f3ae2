//! Hot spares: booted workers that take the slot of whoever dies or hangs.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::crash::connection;
use crate::support::{
    Cluster, ClusterBuilder, Connection, Load, Plan, Process, REQUEST_LIMIT, Request, SOON, Status,
    alone, showcase, wait_until,
};

/// What a worker of these tests takes to boot.
const BOOT: Duration = Duration::from_millis(500);

/// Connections that wait in the queues when a worker dies.
const WAITING: usize = 60;

fn slow_boot(spares: u32) -> ClusterBuilder {
    showcase()
        .set("cluster.spares", spares)
        .set("showcase.boot_delay", "500ms")
}

/// Waits until so many spares can take a slot.
fn wait_spares(pool: &Cluster, count: usize) -> Status {
    pool.wait_status("the spares are ready", SOON, |status| {
        status.spares.len() == count && status.spares.iter().all(|spare| spare.state == "ready")
    })
}

fn signal_all(workers: impl Iterator<Item = u32>, signal: Signal) {
    workers.filter_map(Process::of).for_each(|process| {
        process.signal(signal);
        if signal == Signal::STOP {
            wait_until("it is stopped", SOON, || process.is_stopped());
        }
    });
}

/// Kills one worker of four while connections wait in every queue; returns how long the answers
/// took from then on, in order.
fn waits_after_a_death(pool: &Cluster, round: u64) -> Vec<Duration> {
    let status = pool.wait_whole(SOON);
    let victim = status.worker(u32::try_from(round % 4).unwrap()).unwrap();
    let (victim, all) = (victim.pid, status.pids());
    // Nobody accepts for a moment: what comes now waits in the kernel's queues.
    signal_all(all.iter().copied(), Signal::STOP);
    let mut clients: Vec<_> = (0..WAITING)
        .map(|_| {
            let mut client = Connection::open(&pool.target(), REQUEST_LIMIT).unwrap();
            client.send(&Request::get("/hello").close()).unwrap();
            client
        })
        .collect();
    let killed_at = Instant::now();
    signal_all([victim].into_iter(), Signal::KILL);
    signal_all(all.into_iter().filter(|&pid| pid != victim), Signal::CONT);
    // Each in a thread: who is answered late must not hide who was answered early.
    let mut took: Vec<_> = std::thread::scope(|scope| {
        let waits = |client: &'_ mut Connection| {
            let answer = client.receive(REQUEST_LIMIT);
            assert_eq!(answer.map_or(0, |answer| answer.status), 200);
            killed_at.elapsed()
        };
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(move || waits(client)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    took.sort();
    took
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Nothing that waits in a queue is lost with a worker, and nobody waits for a boot.
fn loses_nothing(mode: &str, spares: u32) {
    let _alone = alone();
    let pool = slow_boot(spares)
        .set("listen.mode", mode)
        .set("cluster.crash_budget_per_worker", 100)
        .start();
    let mut took = Vec::new();
    for round in 0..4 {
        wait_spares(&pool, spares as usize);
        took.extend(waits_after_a_death(&pool, round));
    }
    took.sort();
    let (median, p95) = (quantile(&took, 50), quantile(&took, 95));
    println!(
        "{mode}, {spares} spares: median {median:?}, 95 % {p95:?}, all {:?}",
        took.last()
    );
    // Generous: the machine may be busy. What must not be is a wait for a boot.
    assert!(p95 < BOOT, "{mode}, {spares} spares: {took:?}");
}

#[test]
fn a_queue_is_not_lost_with_its_worker() {
    loses_nothing("slots", 0);
}

#[test]
fn a_shared_queue_is_not_lost_with_a_worker() {
    loses_nothing("shared", 0);
}

#[test]
fn with_a_spare_nobody_waits_for_a_boot() {
    loses_nothing("slots", 1);
}

#[test]
fn with_a_spare_nobody_waits_for_a_boot_on_a_shared_listener() {
    loses_nothing("shared", 1);
}

#[test]
fn the_only_worker_dies_and_a_spare_serves_at_once() {
    let _alone = alone();
    // Without the spare, everybody would wait for five seconds.
    let pool = showcase()
        .set("cluster.workers", 1)
        .set("cluster.spares", 1)
        .set("showcase.boot_delay", "5s")
        .start();
    let before = wait_spares(&pool, 1);
    let load = Load::start(&pool.target(), Plan::BOTH);
    let victim = before.worker(0).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    let killed_at = Instant::now();
    let answer = pool.ask(&Request::get("/whoami"));
    let took = killed_at.elapsed();
    println!("the spare answers after {took:?}");
    let spare = &before.spares[0];
    let (pid, slot) = (&answer.json()["pid"], &answer.json()["slot"]);
    assert_eq!(
        (pid.as_u64(), slot.as_u64()),
        (Some(spare.pid.into()), Some(0))
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    load.serve_more(100);
    let tally = load.finish();
    tally.assert_only_cut_by(&[victim], Plan::BOTH);
    assert!(tally.slowest < Duration::from_secs(2), "{tally}");
    let after = pool.status();
    assert_eq!(after.worker(0).unwrap().instance, spare.instance);
    let next = wait_spares(&pool, 1);
    assert!(
        next.spares[0].instance > spare.instance,
        "there is a new spare"
    );
}

#[test]
fn a_spare_takes_a_slot_from_a_new_image_of_the_master() {
    let pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.spares", 1)
        .start();
    let before = wait_spares(&pool, 1);
    pool.cli_ok(&["upgrade"]);
    let victim = before.worker(1).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    pool.wait_status("the spare has the slot", SOON, |status| {
        let heir = status.worker(1).map(|worker| worker.instance);
        heir == Some(before.spares[0].instance)
    });
    // And what is the slot's now stays so in the next image.
    pool.cli_ok(&["upgrade"]);
    let after = wait_spares(&pool, 1);
    assert_eq!(after.worker(1).unwrap().instance, before.spares[0].instance);
    assert_eq!(pool.ask(&Request::get("/hello")).status, 200);
}

#[test]
fn a_spare_takes_the_slot_of_a_hung_worker() {
    let _alone = alone();
    let pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.spares", 1)
        .set("cluster.heartbeat_interval", "100ms")
        .set("cluster.suspect_after", "1s")
        .set("cluster.hang_timeout", "4s")
        .set("cluster.abort_grace", "500ms")
        .set("showcase.boot_delay", "2s")
        .start();
    let before = wait_spares(&pool, 1);
    let (victim, mut hung) = connection(&pool);
    hung.send(&Request::post("/faults/block", "")).unwrap();
    pool.wait_status("the spare has the slot of the suspect", SOON, |status| {
        let suspect = status.workers.iter().find(|worker| worker.pid == victim);
        let heir = |slot| status.worker(slot).map(|worker| worker.instance);
        suspect.is_some_and(|worker| {
            worker.state == "suspect" && heir(worker.slot) == Some(before.spares[0].instance)
        })
    });
    let newcomers = Load::start(&pool.target(), Plan::FRESH);
    newcomers.serve_more(100);
    newcomers.finish().assert_flawless();
    let process = Process::of(victim).unwrap();
    wait_until("the hung one is gone", SOON, || !process.is_alive());
    pool.wait_whole(SOON);
    wait_spares(&pool, 1);
}

#[test]
fn spares_follow_a_reload_and_stop_with_the_pool() {
    let mut pool = showcase()
        .set("cluster.workers", 2)
        .set("cluster.spares", 2)
        .start();
    let before = wait_spares(&pool, 2);
    assert!(pool.cli_ok(&["status"]).stdout.contains("\nspare "));
    pool.set("showcase.greeting", "new");
    pool.cli_ok(&["reload"]);
    let after = pool.wait_status("the spares are new", SOON, |status| {
        let new = |spare: &crate::support::Spare| spare.state == "ready" && spare.generation == 2;
        status.spares.len() == 2 && status.spares.iter().all(new)
    });
    let old: Vec<_> = before.spares.iter().map(|spare| spare.instance).collect();
    assert!(
        after
            .spares
            .iter()
            .all(|spare| !old.contains(&spare.instance))
    );
    // A new slot's worker is a spare or a fresh one; in any case it is of the new release.
    let victim = after.worker(1).unwrap().pid;
    Process::of(victim).unwrap().signal(Signal::KILL);
    pool.wait_status("a spare serves", SOON, |status| {
        status.worker(1).is_some_and(|worker| worker.pid != victim)
    });
    for _ in 0..20 {
        assert_eq!(pool.ask(&Request::get("/hello").close()).text(), "new");
    }
    wait_spares(&pool, 2);
    pool.stop();
}
