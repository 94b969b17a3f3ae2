//! `POST /faults/*`: everything that can go wrong in a worker, on demand.
//!
//! Each fault strikes the worker that answers. Those that end the process never answer.
#![allow(clippy::unused_async, reason = "a handler is an async function")]

use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{hint, thread};

use hatchery::extract::Query;
use hatchery::http::StatusCode;
use rustix::process::{Signal, getpid, kill_process};
use serde::Deserialize;

/// Most that one `POST /faults/leak` takes, MiB.
const LEAK_MB_MAX: usize = 4096;

/// What was leaked; nothing ever takes it out.
static LEAKED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A bug in a handler: the client gets a 500, the worker lives on.
pub(crate) async fn panic() {
    panic!("a panic was asked for");
}

struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("a second panic was asked for");
    }
}

/// A destructor that panics while another panic unwinds: nothing can catch that, and the process
/// is aborted.
pub(crate) async fn panic_twice() {
    let _again = PanicsAgain;
    panic!("a panic was asked for");
}

pub(crate) async fn abort() {
    process::abort();
}

#[derive(Deserialize)]
pub(crate) struct Exit {
    #[serde(default)]
    code: i32,
}

pub(crate) async fn exit(Query(Exit { code }): Query<Exit>) {
    process::exit(code);
}

/// What a wild pointer in a C library does. The standard library's own handler of the signal
/// takes the first one for a stack overflow, finds that it is none, and puts the default action
/// back for the next: hence the loop.
pub(crate) async fn segv() -> StatusCode {
    loop {
        if kill_process(getpid(), Signal::SEGV).is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Hang {
    /// How long, milliseconds; absent: for ever.
    ms: Option<u64>,
}

/// A busy loop in a handler: the runtime's thread is gone, and a CPU with it.
pub(crate) async fn spin(Query(Hang { ms }): Query<Hang>) -> &'static str {
    let started = Instant::now();
    let limit = ms.map(Duration::from_millis);
    while limit.is_none_or(|limit| started.elapsed() < limit) {
        hint::spin_loop();
    }
    "spun\n"
}

/// A blocking call in a handler: the runtime's thread is gone.
pub(crate) async fn block(Query(Hang { ms }): Query<Hang>) -> &'static str {
    match ms {
        Some(ms) => thread::sleep(Duration::from_millis(ms)),
        None => loop {
            thread::park();
        },
    }
    "blocked\n"
}

#[derive(Deserialize)]
pub(crate) struct Leak {
    /// How much, MiB.
    mb: usize,
}

pub(crate) async fn leak(Query(Leak { mb }): Query<Leak>) -> Result<String, StatusCode> {
    if mb > LEAK_MB_MAX {
        return Err(StatusCode::BAD_REQUEST);
    }
    // Not zeros: those come from the kernel untouched and count for nothing.
    let block = vec![0xa5_u8; mb << 20];
    let mut leaked = LEAKED.lock().unwrap_or_else(PoisonError::into_inner);
    leaked.push(block);
    let total: usize = leaked.iter().map(Vec::len).sum();
    Ok(format!("leaked {} MiB so far\n", total >> 20))
}
