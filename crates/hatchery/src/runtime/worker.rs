//! A worker: serves clients from its slot until it is told to drain.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use hatchery_ipc::child::ToMaster;
use hatchery_sys::process;
use tokio::signal::unix::{SignalKind, signal};

use super::child::{Child, Master};
use super::control::Orders;
use super::crew::{Crew, Foreman, Service};
use crate::BoxError;
use crate::serve::Limits;

/// How long a worker that was told to go by a signal takes at most; the master's own limit is
/// usually shorter.
const LEAVE_LIMIT: Duration = Duration::from_secs(600);

struct WorkerOrders(Foreman);

impl Orders for WorkerOrders {
    fn drain(&self, limit: Duration, successor: bool) {
        self.0.drain(limit, successor);
    }

    fn adopt(&self, listener: OwnedFd, done: Box<dyn FnOnce(u32) + Send>) {
        self.0.adopt(listener, done);
    }

    fn server_did_ready(&self) {}
}

/// Builds what is served, says that it is ready, and serves.
pub(crate) fn run_worker(
    mut child: Child,
    build: impl FnOnce(&Child) -> Result<(Router, Limits), BoxError>,
) -> ExitCode {
    let slot = child.slot.unwrap_or_default();
    let _ = process::set_name(&format!("{:.10} w{slot}", child.app));
    let (control, (router, limits)) = match child.boot(build) {
        Ok(booted) => booted,
        Err(code) => return code,
    };
    let service = Service {
        router,
        limits,
        listeners: std::mem::take(&mut child.listeners),
        page: child.page.clone(),
        heartbeat: child.heartbeat(),
        idle_grace: child.idle_grace(),
    };
    let (crew, foreman) = match Crew::start(&service) {
        Ok(started) => started,
        Err(error) => return child.boot_failed(format!("cannot serve: {error}")),
    };
    control.follow(WorkerOrders(foreman.clone()));
    // The threads have descriptors of their own; these would keep the listeners open.
    drop(service);
    child.master.say(&ToMaster::Ready);
    let cut = crew.serve(obey_signals(child.master.clone(), foreman));
    if cut > 0 {
        eprintln!("{cut} connections were cut: the time to drain was over");
    }
    control.end_group();
    ExitCode::SUCCESS
}

/// SIGTERM means: drain and exit. The master is told first, so that a successor starts meanwhile.
async fn obey_signals(master: Master, foreman: Foreman) {
    let (Ok(mut term), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return eprintln!("cannot receive signals: SIGTERM will end this process at once");
    };
    loop {
        tokio::select! {
            Some(()) = term.recv() => {
                master.say(&ToMaster::Leaving);
                foreman.drain(LEAVE_LIMIT, false);
            }
            // Ctrl-C is the master's business.
            Some(()) = interrupt.recv() => {}
            else => return,
        }
    }
}
