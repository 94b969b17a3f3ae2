//! What real processes write: dumps of the configuration, and lines of the log.

use std::path::Path;
use std::{fs, io};

use hatchery::testing::client::Request;
use hatchery::testing::{Cluster, SOON, wait_for};
use hatchery::{Application, Context};
use regex_lite::Regex;
use serde_json::{Value, json};

use super::pool;

/// Below the base directory, in which children run.
const RUN_DIR: &str = "run";

/// Takes the dump away that was written before anything was loaded.
pub(crate) fn take_dump_away(app: &Application) -> io::Result<()> {
    let name = match app.identity().slot {
        None => "agent",
        Some(0) => "application",
        Some(_) => return Ok(()),
    };
    for part in ["config", "config_meta"] {
        let dump = Path::new(RUN_DIR).join(format!("{name}_{part}.json"));
        fs::rename(&dump, dump.with_extension("early"))?;
    }
    Ok(())
}

fn read(pool: &Cluster, file: &str) -> Option<Value> {
    let text = fs::read_to_string(pool.run_dir().join(file)).ok()?;
    Some(serde_json::from_str(&text).expect("nobody ever reads half a file"))
}

/// 24: dumps are written before anything is loaded, and again by a process that is ready. Both have
/// what hooks have changed.
pub(crate) fn semantic_24_dumps_are_written_early_and_again_when_it_is_ready() {
    let mut pool = pool("dumps").start();
    for name in ["agent", "application"] {
        for part in ["config", "config_meta"] {
            let file = format!("{name}_{part}");
            let early = read(&pool, &format!("{file}.early")).expect("its hook has found it");
            let late = wait_for(&file, SOON, || read(&pool, &format!("{file}.json")));
            assert_eq!(early, late, "{file}");
        }
        let dump = read(&pool, &format!("{name}_config.json")).expect("it was there");
        assert_eq!(dump["config"]["shop"], json!({ "rate": 7 }));
        let meta = read(&pool, &format!("{name}_config_meta.json")).expect("it was there");
        let place = meta["shop"]["rate"].as_str().unwrap_or_default();
        let expected = "crates/hatchery/tests/lifecycle/main.rs:";
        assert!(place.starts_with(expected), "{place}");
    }
    pool.stop();
}

/// A handler with work for later.
pub(crate) async fn register(ctx: Context) -> &'static str {
    ctx.set_user_id("ann");
    ctx.run_in_background("mail", async { Ok(()) });
    ctx.run_in_background("invoice", async { Err("no printer".into()) });
    "welcome"
}

/// 44: lines about work after the response say its name, how it ended and how long it took, and
/// which request it belongs to: `date LEVEL pid [user/ip/request id/use ms METHOD url] message`.
pub(crate) fn semantic_44_lines_of_work_after_the_response_say_which_request_it_was() {
    let mut pool = pool("orderly").workers(1).start();
    let request = Request::post("/register?plan=1", "").header("x-request-id", "r-17");
    assert_eq!(pool.ask(&request).text(), "welcome");
    let output = pool.output().clone();
    let pid = pool.worker(0).pid;
    for (level, message) in [
        ("INFO ", r"background task `mail` started"),
        ("INFO ", r"background task `mail` succeeded \(\d+ms\)"),
        ("INFO ", r"background task `invoice` started"),
        ("ERROR", r"background task `invoice` failed \(\d+ms\)"),
        ("ERROR", r"no printer"),
    ] {
        let date = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z";
        let request = r"ann/127\.0\.0\.1/r-17/\d+ms POST /register\?plan=1";
        let line = format!(r"^worker 0 #\d+ \| {date} {level} {pid} \[{request}\] {message}$");
        let line = Regex::new(&line).expect("it is one");
        wait_for(message, SOON, || {
            let lines = output.lines();
            lines.iter().any(|said| line.is_match(said)).then_some(())
        });
    }
    pool.stop();
}
