//! The agent: runs the user's hook and stays until it is told to end.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::BoxError;
use hatchery_ipc::child::ToMaster;
use hatchery_sys::clock::monotonic_ms;
use hatchery_sys::page::StatsPage;
use hatchery_sys::process;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::control::Duty;
use super::moment::Bells;
use super::record;
use super::worker::{before_close, heed};
use super::{Child, Hook};
use crate::complain::complain;
use crate::lifecycle::Life;
use crate::pressure::PressureLevel;

/// Runs the agent to its end. `build` makes the user's hook, within the runtime that then runs it;
/// the agent is ready when the hook has run up to its first wait.
pub(crate) fn run_agent(
    child: &Child,
    build: impl AsyncFnOnce(&Child) -> Result<(Hook, Option<Arc<Life>>), BoxError>,
) -> ExitCode {
    let _ = process::set_name(&format!("{:.9} agent", child.app));
    let _registered = record::begin(&child.recorder);
    let control = Arc::clone(&child.control);
    let (end, ends) = watch::channel(None);
    let duty = AgentDuty {
        bells: child.bells.clone(),
        end: end.clone(),
    };
    if let Err(reason) = child.belongings.claim_agent() {
        return super::boot_failed(&control, reason);
    }
    let started = control.listen(Arc::clone(&child.belongings), duty);
    let runtime = match started.and_then(|()| super::local_runtime()) {
        Ok(runtime) => runtime,
        Err(error) => return super::boot_failed(&control, error.to_string()),
    };
    let outcome = runtime.block_on(async {
        let (hook, life) = start(child, &end, build).await?;
        let ended = tick(hook, child, ends).await;
        super::close(life, &child.page, child.heartbeat_interval).await;
        ended
    });
    match outcome {
        Ok(()) => super::end(&control, runtime),
        Err(Failure::Boot(reason)) => {
            runtime.shutdown_background();
            super::boot_failed(&control, reason)
        }
        Err(Failure::Hook(reason)) => {
            runtime.shutdown_background();
            complain(format_args!("the agent's hook failed: {reason}"));
            control.end_if_orphaned();
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    /// Before it was ready.
    Boot(String),
    /// The user's hook, afterwards.
    Hook(String),
}

async fn start(
    child: &Child,
    end: &watch::Sender<Option<Instant>>,
    build: impl AsyncFnOnce(&Child) -> Result<(Hook, Option<Arc<Life>>), BoxError>,
) -> Result<(JoinHandle<Result<(), BoxError>>, Option<Arc<Life>>), Failure> {
    let signals = signal(SignalKind::terminate())
        .and_then(|term| Ok((term, signal(SignalKind::interrupt())?)))
        .map_err(|error| Failure::Boot(format!("signals: {error}")))?;
    let leaving = {
        let (control, bells, end) = (Arc::clone(&child.control), child.bells.clone(), end.clone());
        let limit = child.drain_timeout;
        move || {
            control.mention(&ToMaster::Leaving);
            AgentDuty { bells, end }.drain(limit, true);
        }
    };
    // From here on: a start that is stopped closes what it has begun.
    tokio::task::spawn_local(heed(signals, leaving));
    let (hook, life) = super::boot(build(child)).await.map_err(Failure::Boot)?;
    let mut hook = tokio::task::spawn_local(hook);
    // The hook has its first turn now: what it cannot do at all is a failed start.
    tokio::task::yield_now().await;
    if hook.is_finished() {
        match (&mut hook).await {
            Ok(Ok(())) => hook = tokio::task::spawn_local(async { Ok(()) }),
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => super::explain(&*error),
                    _ => "the agent's hook panicked".into(),
                };
                super::close(life, &child.page, child.heartbeat_interval).await;
                return Err(Failure::Boot(reason));
            }
        }
    }
    child.page.set_threads(1);
    child.page.tick(0, monotonic_ms());
    child.control.mention(&ToMaster::Ready);
    if let Some(life) = &life {
        life.begin();
    }
    Ok((hook, life))
}

/// Ticks until the end: the hook's, after the moment to end has come, or its time's.
async fn tick(
    hook: JoinHandle<Result<(), BoxError>>,
    child: &Child,
    mut ends: watch::Receiver<Option<Instant>>,
) -> Result<(), Failure> {
    let mut beat = tokio::time::interval(child.heartbeat_interval.max(Duration::from_millis(1)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hook = Some(hook);
    loop {
        let deadline = *ends.borrow_and_update();
        match deadline {
            Some(_) if hook.is_none() => return Ok(()),
            Some(deadline) if Instant::now() >= deadline => {
                complain(format_args!("the agent's hook did not end in time"));
                return Ok(());
            }
            _ => {}
        }
        tokio::select! {
            _ = beat.tick() => tick_page(&child.page),
            // An error is for ever: the senders live as long as this.
            _ = ends.changed() => {}
            result = ended(&mut hook) => {
                hook = None;
                result?;
            }
        }
    }
}

fn tick_page(page: &StatsPage) {
    page.tick(0, monotonic_ms());
}

/// Waits for the hook's end; for ever when it has ended.
async fn ended(hook: &mut Option<JoinHandle<Result<(), BoxError>>>) -> Result<(), Failure> {
    let Some(hook) = hook else {
        return std::future::pending().await;
    };
    match hook.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::Hook(super::explain(&*error))),
        // The panic hook has said where.
        Err(_) => Err(Failure::Hook("panicked".into())),
    }
}

struct AgentDuty {
    bells: Bells,
    /// When the agent ends at the latest, once it is to end.
    end: watch::Sender<Option<Instant>>,
}

impl Duty for AgentDuty {
    fn drain(&self, limit: Duration, _successor: bool) {
        self.bells.shutdown();
        let now = Instant::now();
        let deadline = now.checked_add(before_close(limit)).unwrap_or(now);
        self.end
            .send_modify(|end| *end = Some(end.map_or(deadline, |end| end.min(deadline))));
    }

    fn adopt(&self, listener: u32, _socket: OwnedFd) {
        complain(format_args!(
            "an agent does not serve, so it cannot adopt listener {listener}"
        ));
    }

    fn server_did_ready(&self) {
        self.bells.server_did_ready();
    }

    fn pressure(&self, level: PressureLevel) {
        self.bells.pressure(level);
    }

    fn serve(&self, slot: u32, _listeners: Vec<OwnedFd>) {
        complain(format_args!("an agent cannot serve slot {slot}"));
    }
}
