//! What the tests stand on: a pool of real processes, clients that never retry, and waiting for
//! conditions.

pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod group;
pub(crate) mod load;
pub(crate) mod open_loop;
pub(crate) mod output;
pub(crate) mod pool;
pub(crate) mod port;
pub(crate) mod process;
mod self_test;
pub(crate) mod status;
pub(crate) mod wait;
pub(crate) mod watch;

pub(crate) use client::{Connection, FailureKind, Request, Target};
pub(crate) use command::Ended;
pub(crate) use group::Group;
pub(crate) use load::{Load, Plan};
pub(crate) use open_loop::{Clients, OpenLoop};
pub(crate) use pool::{Builder, Pool};
pub(crate) use port::{free_port, is_free};
pub(crate) use process::Process;
pub(crate) use status::Status;
pub(crate) use wait::{wait_for, wait_until};
pub(crate) use watch::Watch;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a condition may take that should be true at once. Generous: the machine may be busy
/// with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How long a single request may take before it counts as failed.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// Set to run the long tests at their full length.
const FULL_VARIABLE: &str = "SHOWCASE_FULL";

/// How often something is done: `full` times only when that was asked for.
pub(crate) fn rounds(usual: u64, full: u64) -> u64 {
    if std::env::var_os(FULL_VARIABLE).is_some() {
        full
    } else {
        usual
    }
}

static HEAVY: Mutex<()> = Mutex::new(());

/// Held by tests that put load on the machine or measure time, so that two of them never run at
/// once.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}
