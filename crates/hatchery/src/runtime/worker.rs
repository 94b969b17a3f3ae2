//! The worker: serves requests until it is told to drain.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use hatchery_ipc::child::ToMaster;
use hatchery_sys::page::StatsPage;
use hatchery_sys::process;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::control::{Control, Duty};
use super::handover::{give, take};
use super::moment::Bells;
use super::orders::Orders;
use super::record;
use super::serving::Serving;
use super::{Booted, Child};
use crate::complain::complain;
use crate::pressure::PressureLevel;

/// Runs a worker to its end. `build` makes the application, within the runtime that then serves it.
pub(crate) fn run_worker(
    child: Child,
    build: impl AsyncFnOnce(&Child) -> Result<Booted, BoxError>,
) -> ExitCode {
    // For `top` and the like; `ps` shows the whole title.
    let _ = process::set_name(&name(&child.app, child.slot));
    let _registered = record::begin(&child.recorder);
    let control = Arc::clone(&child.control);
    let orders = Arc::new(Orders::default());
    let duty = WorkerDuty {
        app: child.app.clone(),
        control: Arc::clone(&control),
        orders: Arc::clone(&orders),
        bells: child.bells.clone(),
        page: Arc::clone(&child.page),
    };
    let started = control.listen(Arc::clone(&child.belongings), duty);
    let runtime = match started.and_then(|()| super::local_runtime()) {
        Ok(runtime) => runtime,
        Err(error) => return super::boot_failed(&control, error.to_string()),
    };
    match runtime.block_on(serve(child, &orders, build)) {
        Ok(cut) => {
            if cut > 0 {
                complain(format_args!(
                    "the drain's time is over, connections cut: {cut}"
                ));
            }
            super::end(&control, runtime)
        }
        Err(reason) => {
            runtime.shutdown_background();
            super::boot_failed(&control, reason)
        }
    }
}

async fn serve(
    child: Child,
    orders: &Arc<Orders>,
    build: impl AsyncFnOnce(&Child) -> Result<Booted, BoxError>,
) -> Result<usize, String> {
    let signals = signal(SignalKind::terminate())
        .and_then(|term| Ok((term, signal(SignalKind::interrupt())?)))
        .map_err(|error| format!("signals: {error}"))?;
    let leaving = {
        let duty = WorkerDuty {
            app: child.app.clone(),
            control: Arc::clone(&child.control),
            orders: Arc::clone(orders),
            bells: child.bells.clone(),
            page: Arc::clone(&child.page),
        };
        let limit = child.drain_timeout;
        move || {
            duty.control.mention(&ToMaster::Leaving);
            duty.drain(limit, false);
        }
    };
    // From here on: a start that is stopped closes what it has begun.
    tokio::task::spawn_local(heed(signals, leaving));
    let Booted {
        endpoint,
        limits,
        life,
    } = super::boot(build(&child)).await?;
    let control = child.control;
    let (page, heartbeat) = (Arc::clone(&child.page), child.heartbeat_interval);
    let serving = Serving {
        listeners: child.listeners,
        endpoint,
        limits,
        page: child.page,
        recorder: child.recorder,
        heartbeat: child.heartbeat_interval,
        idle_grace: child.idle_grace,
        pressure: child.moments.pressure,
    };
    let ready = || {
        control.mention(&ToMaster::Ready);
        if let Some(life) = &life {
            life.begin();
        }
    };
    let served = serving.run(orders, ready).await;
    super::close(life, &page, heartbeat).await;
    served.map_err(|error| format!("cannot listen: {error}"))
}

/// Leaves at the first SIGTERM. SIGINT is caught and does nothing: it is the master's to decide
/// what a Ctrl-C means.
pub(super) async fn heed((mut term, _int): (Signal, Signal), leaving: impl FnOnce()) {
    if term.recv().await.is_some() {
        leaving();
    }
    // The handler stays for the life of the process, so further signals do nothing.
}

/// What connections (and the agent's hook) may take of a drain. When its time is over the master
/// kills: the rest is left for `before_close`.
pub(super) fn before_close(limit: Duration) -> Duration {
    limit / 10 * 9
}

/// What the kernel is told to call the process, in 15 bytes.
fn name(app: &str, slot: Option<u32>) -> String {
    match slot {
        Some(slot) => format!("{app:.10} w{slot}"),
        None => format!("{app:.9} spare"),
    }
}

struct WorkerDuty {
    /// The application's name.
    app: String,
    control: Arc<Control>,
    orders: Arc<Orders>,
    bells: Bells,
    page: Arc<StatsPage>,
}

impl Duty for WorkerDuty {
    fn drain(&self, limit: Duration, successor: bool) {
        let limit = before_close(limit);
        self.bells.drain(limit);
        self.orders.drain(limit, successor);
    }

    fn adopt(&self, listener: u32, socket: OwnedFd) {
        let control = Arc::clone(&self.control);
        let answer = move |accepted| control.mention(&ToMaster::Adopted { listener, accepted });
        self.orders.adopt(socket, Box::new(answer));
    }

    fn server_did_ready(&self) {
        self.bells.server_did_ready();
    }

    fn pressure(&self, level: PressureLevel) {
        self.bells.pressure(level);
    }

    fn serve(&self, slot: u32, listeners: Vec<OwnedFd>) {
        self.bells.slot(slot);
        let _ = process::set_name(&name(&self.app, Some(slot)));
        if let Err(error) = self.orders.serve(&listeners) {
            // It would hold a slot in which nobody serves.
            complain(format_args!("cannot serve slot {slot}: {error}"));
            process::exit_now(1);
        }
    }

    fn hand_over(&self, channel: OwnedFd) {
        let orders = Arc::clone(&self.orders);
        let give_up = move |heir| orders.give_up(heir);
        let (arrivals, page) = (self.orders.arrivals(), &self.page);
        match give::start(channel, Arc::clone(arrivals), Arc::clone(page), give_up) {
            Ok(heir) => self.orders.hand_over(&heir),
            Err(error) => complain(format_args!("cannot hand connections over: {error}")),
        }
    }

    fn rescue(&self, channel: OwnedFd) {
        let (arrivals, page) = (Arc::clone(self.orders.arrivals()), Arc::clone(&self.page));
        let unread = Arc::clone(self.orders.unread());
        if let Err(error) = give::rescue(channel, unread, arrivals, page) {
            complain(format_args!("cannot give connections away: {error}"));
        }
    }

    fn inherit(&self, channel: OwnedFd) {
        if let Err(error) = take::start(channel, Arc::clone(self.orders.arrivals())) {
            complain(format_args!("cannot take connections over: {error}"));
        }
    }
}
