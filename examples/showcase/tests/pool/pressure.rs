//! Memory becomes short: what the pool does about it, by readings that are fed and by real ones.

use std::fs;
use std::time::Duration;

use crate::support::{
    Cluster, ClusterBuilder, Connection, Group, Load, Plan, Process, REQUEST_LIMIT, Request, SOON,
    Status, alone, showcase, wait_for, wait_until,
};

const MIB: u64 = 1 << 20;

/// What a real pool may use in its control group.
const LIMIT: u64 = 300 * MIB;

fn watchful() -> ClusterBuilder {
    showcase()
        .set("cluster.workers", 2)
        .set("cluster.memory_interval", "50ms")
        .set("cluster.memory_fresh", "1s")
        .set("cluster.memory_soft", "0B")
        .set("cluster.memory_hard", "0B")
        .set("cluster.pressure_calm", "1s")
}

/// Makes the kernel tell that somebody waited for memory for so much of the time, per cent.
fn feed(pool: &Cluster, percent: u32) {
    let directory = pool.pressure_root().join("proc/pressure");
    fs::create_dir_all(&directory).unwrap();
    let text = format!("some avg10={percent}.00 avg60=0.00 avg300=0.00 total=1\n");
    // By rename: the master must never read half of it.
    fs::write(directory.join("new"), text).unwrap();
    fs::rename(directory.join("new"), directory.join("memory")).unwrap();
}

/// A pool that reads what it is fed.
fn fed(builder: ClusterBuilder) -> Cluster {
    let mut pool = builder.prepare();
    feed(&pool, 0);
    pool.launch();
    pool.wait_started();
    pool
}

fn wait_level(pool: &Cluster, level: u8) -> Status {
    pool.wait_status("the level is as the readings say", SOON, |status| {
        status.pressure.level == level
    })
}

fn open(pool: &Cluster) -> Connection {
    Connection::open(&pool.target(), REQUEST_LIMIT).unwrap()
}

fn get(connection: &mut Connection, path: &str) -> serde_json::Value {
    let answer = connection.request(&Request::get(path), REQUEST_LIMIT);
    answer.unwrap().json()
}

fn post(connection: &mut Connection, path: &str) -> u16 {
    let answer = connection.request(&Request::post(path, ""), REQUEST_LIMIT);
    answer.unwrap().status
}

#[test]
fn the_pool_climbs_the_ladder_and_comes_down_again() {
    let _alone = alone();
    let pool = fed(watchful().set("cluster.spares", 1));
    pool.wait_status("there is a spare", SOON, |status| {
        status.spares.iter().any(|spare| spare.state == "ready")
    });
    let mut client = open(&pool);
    assert_eq!(post(&mut client, "/cache?mb=64"), 204);
    assert_eq!(get(&mut client, "/cache")["mb"], 64);

    feed(&pool, 12);
    let status = wait_level(&pool, 1);
    assert!(status.pressure.reason.contains("12.00 %"), "{status:?}");
    wait_until("the cache is given up", SOON, || {
        let cache = get(&mut client, "/cache");
        cache["mb"] == 0 && cache["pressure"] == "trim"
    });
    assert!(
        pool.cli_ok(&["status"])
            .stdout
            .contains("memory pressure: level 1 of 4")
    );
    assert_eq!(status.spares.len(), 1);

    feed(&pool, 25);
    wait_level(&pool, 2);
    pool.wait_status("the spare is sent away", SOON, |status| {
        status.spares.is_empty()
    });
    let refused = pool.cli(&["scale", "3"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("memory is short"), "{refused:?}");

    // A new image of the master knows how short memory is.
    pool.cli_ok(&["upgrade"]);
    let status = pool.status();
    assert_eq!(status.pressure.level, 2, "{status:?}");

    let load = Load::start(&pool.target(), Plan::FRESH);
    let victim = u32::try_from(get(&mut client, "/whoami")["pid"].as_u64().unwrap()).unwrap();
    assert_eq!(post(&mut client, "/faults/leak?mb=100"), 200);
    wait_until("its size is known", SOON, || {
        let status = pool.status();
        let fat = status.workers.iter().find(|worker| worker.pid == victim);
        fat.is_some_and(|worker| worker.rss_bytes > 100 * MIB && worker.uptime_ms > 2_000)
    });
    drop(client);
    let process = Process::of(victim).unwrap();
    feed(&pool, 45);
    wait_level(&pool, 3);
    wait_until("the fattest is gone", SOON, || !process.is_alive());
    feed(&pool, 25);
    load.serve_more(100);
    load.finish().assert_flawless();

    feed(&pool, 0);
    wait_level(&pool, 0);
    pool.wait_whole(SOON);
    pool.wait_status("there is a spare again", SOON, |status| {
        status.spares.iter().any(|spare| spare.state == "ready")
    });
    pool.cli_ok(&["scale", "3"]);
    for line in [
        ["level 0 -> 1", "trimmed"],
        ["level 2 -> 3", "45.00 %"],
        ["level 1 -> 0", ""],
    ] {
        assert!(
            pool.output().has(&["memory pressure: ", line[0], line[1]]),
            "{line:?}"
        );
    }
}

#[test]
fn workers_refuse_what_is_too_much_and_finish_what_they_have() {
    let pool = fed(watchful().set("cluster.workers", 1));
    let mut clients: Vec<_> = (0..20).map(|_| open(&pool)).collect();
    for client in &mut clients {
        client.send(&Request::get("/slow?ms=4000")).unwrap();
    }
    pool.wait_status("twenty are in flight", SOON, |status| {
        status.ready().any(|worker| worker.in_flight == 20)
    });
    feed(&pool, 70);
    wait_level(&pool, 4);
    let mut client = open(&pool);
    let refused = wait_for("a request is refused", SOON, || {
        let answer = client.request(&Request::get("/hello"), REQUEST_LIMIT);
        answer.ok().filter(|answer| answer.status == 503)
    });
    assert!(refused.header("retry-after").is_some());
    for client in &mut clients {
        assert_eq!(client.receive(REQUEST_LIMIT).unwrap().status, 200);
    }
    // Half as much as before is served.
    for client in clients.iter_mut().take(10) {
        client.send(&Request::get("/slow?ms=100")).unwrap();
    }
    for client in clients.iter_mut().take(10) {
        assert_eq!(client.receive(REQUEST_LIMIT).unwrap().status, 200);
    }
    assert_eq!(get(&mut client, "/cache")["pressure"], "shed");
    // A worker that comes now knows.
    let status = pool.status();
    assert!(status.pressure.refused > 0, "{status:?}");
    let before = status.worker(0).unwrap().pid;
    Process::of(before)
        .unwrap()
        .signal(rustix::process::Signal::KILL);
    pool.wait_status("another worker serves", SOON, |status| {
        status.worker(0).is_some_and(|worker| worker.pid != before)
    });
    wait_until("it has been told", SOON, || {
        get(&mut open(&pool), "/cache")["pressure"] == "shed"
    });
    // What the dead one refused still counts.
    assert!(pool.status().pressure.refused >= status.pressure.refused);
}

#[test]
fn a_real_limit_is_noticed_before_it_is_reached() {
    let _alone = alone();
    let Some(group) = Group::limited(LIMIT) else {
        return;
    };
    let pool = watchful().control_group(group.procs()).start();
    let load = Load::start(&pool.target(), Plan::FRESH);
    let first = pool.status();
    // More than the limit goes through the cache, which is given up each time.
    let mut client = open(&pool);
    let mut filled = 0;
    while filled < 2 * LIMIT {
        match post(&mut client, "/cache?mb=4") {
            204 => filled += 4 * MIB,
            507 => {
                let status = pool.status();
                assert!(status.pressure.level < 3, "{:?}", status.pressure);
                wait_level(&pool, 0);
            }
            other => panic!("{other}"),
        }
        // Two looks of the master take longer than this much takes to fill.
        wait_cycle(&pool);
    }
    assert!(
        pool.output()
            .has(&["memory pressure: level 0 -> 1", "control group"])
    );
    assert_eq!(
        pool.status().instances(),
        first.instances(),
        "nobody had to go"
    );
    drop(client);

    // What leaks does not come back: the fattest goes before the kernel takes somebody.
    wait_until("all are old enough", SOON, || {
        pool.status()
            .workers
            .iter()
            .all(|worker| worker.uptime_ms > 2_000)
    });
    let before = pool.status().instances();
    wait_until("the fattest is recycled", Duration::from_mins(1), || {
        if pool.status().pressure.level < 3 {
            assert_eq!(post(&mut open(&pool), "/faults/leak?mb=4"), 200);
        }
        wait_cycle(&pool);
        pool.status().instances() != before
    });
    wait_level(&pool, 0);
    pool.wait_whole(SOON);
    load.serve_more(50);
    load.finish().assert_flawless();
    assert!(!pool.output().has(&["is gone after", "signal 9"]));
}

/// Waits until the master has looked at its memory again.
fn wait_cycle(pool: &Cluster) {
    let before = pool.status().master.uptime_ms;
    wait_until("the master has looked", SOON, || {
        pool.status().master.uptime_ms > before + 60
    });
}
