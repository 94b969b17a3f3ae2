//! What runs in a child of the master: a worker or the agent.
//!
//! - [`child`]: what the child was told at its start: environment, descriptors, the welcome.
//! - [`control`]: the thread that listens to the master, and outlives a blocked runtime.
//! - [`orphan`]: how it finds the next master when this one dies.
//! - [`worker`], [`agent`]: the two roles. [`serving`]: the threads that serve in one process.
//! - [`handover`]: live connections on their way to a worker's successor.
//! - [`record`]: its panics and stacks.
//! - [`moment`]: how user code hears of the end, and of the pool's being up.

mod agent;
mod child;
mod control;
mod handover;
mod moment;
pub(crate) mod orders;
mod orphan;
mod record;
pub(crate) mod serving;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use hatchery_ipc::child::ToMaster;
use hatchery_sys::clock::monotonic_ms;
use hatchery_sys::page::StatsPage;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

pub(crate) use agent::run_agent;
pub(crate) use child::{Child, Role};
pub(crate) use moment::Bells;
pub use moment::Moment;
pub(crate) use moment::Moments;
pub(crate) use record::panic_message;
pub(crate) use worker::run_worker;

use crate::complain::complain;
use crate::lifecycle::{Life, poll_caught};
use crate::serve::{Endpoint, Limits};
use control::Control;

/// What the user wants to run in the agent. It may end early; the agent stays.
pub(crate) type Hook = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

/// What a worker is made of when it has booted.
pub(crate) struct Booted {
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    /// The hooks from readiness to the end.
    pub(crate) life: Option<Arc<Life>>,
}

/// Longest reason that is told of a failed boot, in bytes.
const REASON_MAX: usize = 4096;

/// A runtime for one serving thread: tasks stay on it, so they need not be `Send`.
pub(crate) fn local_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

/// Runs user code that may fail or panic while the process boots. The reason is one line.
pub(crate) async fn boot<T>(build: impl Future<Output = Result<T, BoxError>>) -> Result<T, String> {
    let mut build = std::pin::pin!(build);
    std::future::poll_fn(|cx| poll_caught(build.as_mut(), cx))
        .await
        .map_err(|error| explain(&*error))
}

/// Runs user code as a child would, in a process that is no child.
pub(crate) fn look_into<T>(
    build: impl AsyncFnOnce(&Moments) -> Result<T, BoxError>,
) -> Result<T, String> {
    let runtime = local_runtime().map_err(|error| error.to_string())?;
    let (_bells, moments) = Bells::new();
    let result = runtime.block_on(boot(build(&moments)));
    runtime.shutdown_background();
    result
}

/// Says why the process cannot start, to the log and to the master. One that was told to end has
/// done what it should.
fn boot_failed(control: &Control, reason: String) -> ExitCode {
    if control.is_leaving() {
        complain(format_args!("not started: {reason}"));
        return ExitCode::SUCCESS;
    }
    complain(format_args!("cannot start: {reason}"));
    // If the master is gone, nobody wants to know.
    let _ = control.tell(&ToMaster::BootFailed { reason });
    ExitCode::FAILURE
}

/// Ends a child whose work is done.
fn end(control: &Arc<Control>, runtime: LocalRuntime) -> ExitCode {
    // A blocking task that hangs must not keep the process.
    runtime.shutdown_background();
    control.end_if_orphaned();
    ExitCode::SUCCESS
}

/// Runs the hooks of the end; meanwhile this thread proves that it is not blocked.
async fn close(life: Option<Arc<Life>>, page: &StatsPage, heartbeat: Duration) {
    let Some(life) = life else { return };
    page.set_threads(1);
    let mut beat = tokio::time::interval(heartbeat.max(Duration::from_millis(1)));
    let mut closing = std::pin::pin!(life.close());
    loop {
        tokio::select! {
            () = &mut closing => return,
            _ = beat.tick() => page.tick(0, monotonic_ms()),
        }
    }
}

/// An error and its causes, in one line.
pub(crate) fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    one_line(&with_causes(error))
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // Many errors repeat their cause's text in their own.
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

fn one_line(text: &str) -> String {
    let mut line = text
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .fold(String::new(), |line, part| {
            if line.is_empty() {
                part.to_owned()
            } else {
                format!("{line}; {part}")
            }
        });
    line.truncate(line.floor_char_boundary(REASON_MAX));
    line
}
