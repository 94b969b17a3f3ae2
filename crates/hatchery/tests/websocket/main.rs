//! WebSockets against real processes. This program is its own application: with a role or a verb it
//! is that; without, the test.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod application;
mod corpus;
mod life;
mod raw;
mod reload;

use std::process::ExitCode;

use hatchery::App;
use hatchery::testing::{Cluster, ClusterBuilder};

/// Set in the environment of all that this program is as an application.
const APPLICATION: &str = "TEST_WEBSOCKET_APPLICATION";

/// Each with its name.
const TESTS: &[(&str, fn())] = &[
    ("corpus::frames", corpus::frames),
    ("corpus::handshakes", corpus::handshakes),
    ("corpus::half_a_handshake", corpus::half_a_handshake),
    ("life::messages", life::messages),
    ("life::by_configuration", life::by_configuration),
    ("life::handlers_end", life::handlers_end),
    ("life::who_does_not_answer", life::who_does_not_answer),
    ("life::busy_handlers", life::busy_handlers),
    ("life::halves_in_tasks", life::halves_in_tasks),
    ("life::origins", life::origins),
    ("life::what_is_wrong", life::what_is_wrong),
    ("reload::everybody_is_told", reload::everybody_is_told),
    ("reload::nothing_is_lost", reload::nothing_is_lost),
    (
        "reload::the_silent_do_not_hold_it",
        reload::the_silent_do_not_hold_it,
    ),
    (
        "reload::a_draining_worker_takes_none",
        reload::a_draining_worker_takes_none,
    ),
];

fn main() -> ExitCode {
    if std::env::var_os(APPLICATION).is_some() {
        return App::new(hatchery::package!()).run();
    }
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|one| !one.starts_with('-'))
        .collect();
    let mut passed = 0;
    for (name, test) in TESTS {
        if filters.is_empty() || filters.iter().any(|one| name.contains(one.as_str())) {
            println!("test {name} ...");
            test();
            passed += 1;
        }
    }
    println!("{passed} passed");
    ExitCode::SUCCESS
}

/// A pool of this program with so many workers and small limits.
fn pool(workers: u32) -> ClusterBuilder {
    Cluster::of(std::env::current_exe().expect("this program"))
        .name("hatchery")
        .variable(APPLICATION, "1")
        .workers(workers)
        .config(
            "[websocket]\n\
             max_message = '64KiB'\n\
             max_frame = '32KiB'\n\
             ws_drain = '2s'\n\
             [[routes]]\n\
             type = 'websocket'\n\
             route = '/small'\n\
             handler = 'application.small'\n\
             name = 'small'\n\
             options = { max_message = '4B', origins = ['http://good.example'], protocols = ['b', 'a'] }\n",
        )
}

/// Waits for what a test does, within a runtime.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let limit = std::time::Duration::from_mins(1);
    runtime.block_on(async { tokio::time::timeout(limit, work).await.expect("in time") })
}
