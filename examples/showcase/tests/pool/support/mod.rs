//! What the tests stand on: `hatchery::testing`, the showcase as they want it, and clients that put
//! load on it and never retry.

pub(crate) mod group;
pub(crate) mod load;
pub(crate) mod open_loop;

pub(crate) use hatchery::testing::client::{self, Connection, FailureKind, Request, Target};
pub(crate) use hatchery::testing::status::{Spare, Worker};
pub(crate) use hatchery::testing::{
    Cluster, ClusterBuilder, Ended, Output, Process, REQUEST_LIMIT, SOON, Status, file_identity,
    free_port, is_free, wait_for, wait_until,
};

pub(crate) use group::Group;
pub(crate) use load::{Load, Plan};
pub(crate) use open_loop::{Clients, OpenLoop};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Set to run the long tests at their full length.
const FULL_VARIABLE: &str = "SHOWCASE_FULL";

/// The showcase with its faults, without a configuration of its own and in no special environment.
pub(crate) fn showcase() -> ClusterBuilder {
    Cluster::of(env!("CARGO_BIN_EXE_showcase"))
        .env("")
        .workers(4)
        .set("showcase.faults", true)
}

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
