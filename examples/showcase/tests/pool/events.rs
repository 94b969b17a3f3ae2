//! What happens to the pool, told as it happens.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Cluster, Output, Process, SOON, showcase, wait_until};

/// All events so far, as the command line tells them.
fn events(pool: &Cluster) -> Vec<Value> {
    let text = pool.cli_ok(&["events", "--json"]).stdout;
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Whether the events have these in this order, others between them.
fn have_in_order(events: &[Value], wanted: &[Value]) -> bool {
    let mut wanted = wanted.iter().peekable();
    for event in events {
        let is_next = wanted.peek().is_some_and(|next| {
            let fields = next.as_object().unwrap();
            fields.iter().all(|(name, value)| event[name] == *value)
        });
        if is_next {
            wanted.next();
        }
    }
    wanted.peek().is_none()
}

#[test]
fn a_death_and_a_reload_are_told_step_by_step() {
    let pool = showcase().start();
    let victim = pool.status().worker(1).unwrap().clone();
    Process::of(victim.pid).unwrap().signal(Signal::KILL);
    pool.wait_status("it is replaced", SOON, |status| {
        status.is_whole(4) && !status.instances().contains(&victim.instance)
    });
    pool.cli_ok(&["reload"]);
    let events = events(&pool);
    let wanted = [
        json!({"kind": "phase", "from": "starting", "to": "ready"}),
        json!({"kind": "died", "instance": victim.instance, "pid": victim.pid, "slot": 1,
               "generation": 1, "reason": "signal"}),
        json!({"kind": "phase", "from": "ready", "to": "degraded"}),
        json!({"kind": "moved", "slot": 1, "from": "starting", "to": "ready"}),
        json!({"kind": "phase", "from": "degraded", "to": "ready"}),
        json!({"kind": "command", "text": "asked to reload"}),
        json!({"kind": "moved", "slot": 0, "generation": 2, "to": "ready"}),
        json!({"kind": "moved", "slot": 0, "generation": 1, "to": "draining", "reason": "reload"}),
        json!({"kind": "died", "slot": 1, "generation": 1, "reason": "reload"}),
        json!({"kind": "promoted", "generation": 2}),
        json!({"kind": "command"}),
    ];
    assert!(have_in_order(&events, &wanted), "{events:#?}");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index + 1, "no gap: {event}");
        let (time, text) = (
            event["time"].as_str().unwrap(),
            event["text"].as_str().unwrap(),
        );
        assert!(time.ends_with('Z'), "{event}");
        assert!(pool.output().has(&[text]), "the log says the same: {event}");
    }
    let text = pool.cli_ok(&["events"]).stdout;
    assert_eq!(text.lines().count(), events.len());
}

#[test]
fn who_follows_is_told_until_the_end() {
    let mut pool = showcase().start();
    let mut command = pool.bare_command();
    command
        .args(["events", "-f", "--json", "--run-dir"])
        .arg(pool.run_dir());
    let mut follower = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = Output::default();
    told.follow(follower.stdout.take().unwrap());
    wait_until("it was told of the start", SOON, || {
        told.has(&["starting", "ready", "phase"])
    });
    let pid = pool.status().worker(2).unwrap().pid;
    Process::of(pid).unwrap().signal(Signal::KILL);
    let pid = format!("\"pid\":{pid}");
    wait_until("it is told of a death", SOON, || {
        told.has(&["\"died\"", &pid])
    });
    pool.stop();
    wait_until("it ends with the master", SOON, || {
        follower.try_wait().unwrap().is_some()
    });
    assert!(follower.wait().unwrap().success());
    assert!(
        told.has(&["\"died\"", "\"reason\":\"stop\""]),
        "{}",
        told.text()
    );
}

#[test]
fn a_reader_that_stands_still_slows_nobody_and_sees_the_gap() {
    const COMMANDS: usize = 4000;
    let pool = showcase().start();
    let mut still = UnixStream::connect(pool.socket()).unwrap();
    still
        .write_all(b"{\"v\":1,\"verb\":\"events\",\"follow\":true}\n")
        .unwrap();

    // Each command is two events; each answer proves that the master goes on.
    let stream = UnixStream::connect(pool.socket()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut busy = BufReader::new(stream);
    let began = Instant::now();
    for _ in 0..COMMANDS {
        let request = b"{\"v\":1,\"verb\":\"scale\",\"workers\":4}\n";
        busy.get_mut().write_all(request).unwrap();
        let mut answer = String::new();
        busy.read_line(&mut answer).unwrap();
        assert!(answer.contains("\"ok\":true"), "{answer}");
    }
    assert!(
        began.elapsed() < SOON + Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );

    // It wakes up, and finds what is still remembered.
    still.set_read_timeout(Some(SOON)).unwrap();
    let mut numbers: Vec<u64> = Vec::new();
    let last = 2 * COMMANDS as u64;
    for line in BufReader::new(still).lines() {
        let answer: Value = serde_json::from_str(&line.unwrap()).unwrap();
        numbers.push(answer["event"]["seq"].as_u64().unwrap());
        if *numbers.last().unwrap() >= last {
            break;
        }
    }
    assert_eq!(numbers[0], 1);
    let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gaps.count(), 1, "one gap: {} events", numbers.len());
    assert!(numbers.is_sorted());
    pool.wait_whole(SOON);
}
