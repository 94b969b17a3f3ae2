//! The blog as it is started: an agent and two workers, killed and reloaded while people read it.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use hatchery::testing::client::Request;
use hatchery::testing::{Cluster, SOON, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Threads that read.
const READERS: usize = 3;

/// A pool with its own posts.
fn pool() -> (Cluster, TempDir) {
    let posts = TempDir::new().unwrap();
    let pool = Cluster::of(env!("CARGO_BIN_EXE_blog"))
        .files(env!("CARGO_MANIFEST_DIR"))
        .set("blog.directory", posts.path().to_str())
        .workers(2)
        .start();
    (pool, posts)
}

/// Has posts read all the time while something happens, each on a connection of its own. What a
/// process was at when it was killed is lost, and a GET may be sent again: once, and that must be
/// answered. How often it was.
fn sent_again(pool: &Cluster, happens: impl FnOnce()) -> usize {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let read = || {
        let mut again = 0;
        while !is_over.load(Ordering::Relaxed) {
            let request = Request::get("/posts/1").close();
            let answer = pool.try_ask(&request).unwrap_or_else(|_| {
                again += 1;
                pool.ask(&request)
            });
            assert_eq!(answer.json()["title"], "Hello", "{answer:?}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
        again
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        // Even when what happens panics.
        let over = Over(&is_over);
        wait_until("they read", SOON, || {
            answered.load(Ordering::Relaxed) > READERS
        });
        happens();
        drop(over);
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum()
    })
}

/// Waits until this many lines of the log say so.
fn wait_for_lines(pool: &Cluster, what: &str, count: usize) {
    let output = pool.output();
    wait_until(what, SOON, || output.text().matches(what).count() == count);
}

/// The hooks of this type in the record of a start, in their order.
fn hooks(pool: &Cluster, record: &str, name: &str) -> Vec<String> {
    let record = fs::read_to_string(pool.run_dir().join(record)).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let steps = record["steps"].as_array().unwrap().iter();
    let hooks = steps.filter(|step| step["name"] == name);
    hooks
        .map(|step| step["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn hooks_run_in_the_agent_and_in_each_worker_in_their_order() {
    let (mut pool, posts) = pool();
    // `server_did_ready`: in each worker, after everything else.
    wait_for_lines(&pool, "everybody is up", 2);
    // The agent is ready before any worker; its `did_load` has written the first post.
    let output = pool.output().clone();
    let ready = |who| output.position(&[who, "starting -> ready"]).unwrap();
    assert!(ready("agent #") < ready("worker 0 #").min(ready("worker 1 #")));
    assert!(posts.path().join("1.json").exists());

    let order = [
        "load_config",
        "config_will_load",
        "config_did_load",
        "did_load",
        "will_ready",
        "did_ready",
    ];
    for (record, name) in [
        ("agent_timing.json", "blog::app::agent::Agent"),
        ("application_timing.json", "blog::app::application::Worker"),
        ("application_timing.json", "blog::plugin::audit::Hooks"),
    ] {
        assert_eq!(hooks(&pool, record, name), order, "{name}");
    }

    // `before_close`: the workers first.
    pool.stop();
    wait_until("all have left", SOON, || output.has(&["the agent leaves"]));
    let leaves = |who| output.position(&[who, "leaves"]).unwrap();
    for worker in ["worker 0 #", "worker 1 #"] {
        assert!(leaves(worker) < leaves("agent #"), "{}", output.text());
    }
}

#[test]
fn a_worker_that_is_killed_comes_back_and_nothing_is_lost_but_what_it_was_at() {
    let (mut pool, _posts) = pool();
    let draft = json!({ "title": "Second" }).to_string();
    let request = Request::post("/posts", draft)
        .header("content-type", "application/json")
        .header("authorization", "Bearer test");
    let made = pool.ask(&request);
    assert_eq!(made.status, 201, "{}", made.text());
    wait_for_lines(&pool, "everybody is up", 2);

    let again = sent_again(&pool, || {
        let victim = pool.kill(0);
        pool.wait_until(|status| status.is_whole(2) && !status.pids().contains(&victim.pid));
    });
    assert!(again <= READERS, "{again}");
    wait_until("its end is on record", SOON, || pool.exits().len() == 1);
    assert_eq!(pool.get("/posts/2").json(), made.json());
    // The new one has its hooks, too.
    wait_for_lines(&pool, "everybody is up", 3);
    pool.stop();
}

#[test]
fn a_reload_replaces_everybody_and_no_request_fails() {
    let (mut pool, _posts) = pool();
    assert!(pool.get("/").text().contains("<h1>The hatchery</h1>"));
    let before = pool.status();

    pool.set("blog.title", "The second edition");
    let again = sent_again(&pool, || pool.reload());
    assert_eq!(again, 0);

    let after = pool.wait_whole(SOON);
    assert!(before.pids().is_disjoint(&after.pids()));
    assert_ne!(before.agent.unwrap().pid, after.agent.unwrap().pid);
    assert!(pool.get("/").text().contains("<h1>The second edition</h1>"));
    wait_for_lines(&pool, "the agent leaves", 1);
    wait_for_lines(&pool, "this worker leaves", 2);
    pool.stop();
}
