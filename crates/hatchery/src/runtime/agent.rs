//! The agent: background work that exists once.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::{Duration, Instant};

use hatchery_ipc::child::ToMaster;
use hatchery_sys::{clock, process};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::child::Child;
use super::control::Orders;
use super::shutdown::{Shutdown, ShutdownSender};
use super::with_causes;
use crate::app::AgentHook;
use crate::{Application, BoxError};

/// Orders that may wait; there is one kind, and it is given once or twice.
const ORDERS_MAX: usize = 16;

/// How long an agent that was told to go by a signal takes at most; the master's own limit is
/// usually shorter.
const LEAVE_LIMIT: Duration = Duration::from_secs(600);

struct AgentOrders(mpsc::Sender<Duration>);

impl Orders for AgentOrders {
    fn drain(&self, limit: Duration, _: bool) {
        let _ = self.0.try_send(limit);
    }

    /// An agent has no clients.
    fn adopt(&self, listener: OwnedFd, _: Box<dyn FnOnce(u32) + Send>) {
        drop(listener);
    }

    fn server_did_ready(&self) {}
}

/// Runs the hook, says that the agent is ready, and stays until it is told to stop.
pub(crate) fn run_agent(
    child: &Child,
    build: impl FnOnce(&Child) -> Result<Option<(AgentHook, Application)>, BoxError>,
) -> ExitCode {
    let _ = process::set_name(&format!("{:.9} agent", child.app));
    let (control, hook) = match child.boot(build) {
        Ok(booted) => booted,
        Err(code) => return code,
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return child.boot_failed(format!("cannot run: {error}")),
    };
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    control.follow(AgentOrders(sender));
    let local = LocalSet::new();
    let ended = runtime.block_on(local.run_until(stay(child, hook, orders)));
    control.end_group();
    ended
}

/// Polls the hook beside the agent's own loop. An error of the hook is told here.
async fn stay(
    child: &Child,
    hook: Option<(AgentHook, Application)>,
    orders: mpsc::Receiver<Duration>,
) -> ExitCode {
    let signals = signal(SignalKind::terminate()).and_then(|term| {
        // Ctrl-C is the master's business: received, so that it does not end the agent.
        Ok((term, signal(SignalKind::interrupt())?))
    });
    let (term, _interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => return child.boot_failed(format!("cannot receive signals: {error}")),
    };
    let (sender, shutdown) = Shutdown::new();
    let mut work = pin!(async move {
        match hook {
            Some((hook, application)) => hook(application, shutdown).await,
            None => Ok(()),
        }
    });
    let mut done = match first_poll(work.as_mut()).await {
        Some(Ok(())) => true,
        None => false,
        Some(Err(error)) => return child.boot_failed(with_causes(&*error)),
    };
    child.page.set_threads(1);
    child.page.tick(0, clock::monotonic_ms());
    child.master.say(&ToMaster::Ready);

    let mut stay = Stay::new(child, sender, term, orders);
    loop {
        tokio::select! {
            biased;
            () = stay.turn() => {}
            result = &mut work, if !done => {
                done = true;
                if let Err(error) = result {
                    eprintln!("the agent's work has failed: {}", with_causes(&*error));
                    return ExitCode::FAILURE;
                }
            }
        }
        // An agent whose work is done stays, unless it is to stop.
        match stay.deadline {
            Some(_) if done => return ExitCode::SUCCESS,
            Some(deadline) if Instant::now() >= deadline => {
                eprintln!("the agent's work did not end in time");
                return ExitCode::SUCCESS;
            }
            _ => {}
        }
    }
}

/// The agent's own loop, beside its work.
struct Stay<'a> {
    child: &'a Child,
    beat: Interval,
    sender: ShutdownSender,
    term: Signal,
    orders: mpsc::Receiver<Duration>,
    /// When the work must have ended; `None` until the agent is told to stop.
    deadline: Option<Instant>,
}

impl<'a> Stay<'a> {
    fn new(
        child: &'a Child,
        sender: ShutdownSender,
        term: Signal,
        orders: mpsc::Receiver<Duration>,
    ) -> Self {
        let mut beat = interval(child.heartbeat().max(Duration::from_millis(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            child,
            beat,
            sender,
            term,
            orders,
            deadline: None,
        }
    }

    /// Waits for the next thing to do, and does it.
    async fn turn(&mut self) {
        let limit = tokio::select! {
            _ = self.beat.tick() => {
                return self.child.page.tick(0, clock::monotonic_ms());
            }
            Some(limit) = self.orders.recv() => limit,
            Some(()) = self.term.recv() => {
                self.child.master.say(&ToMaster::Leaving);
                LEAVE_LIMIT
            }
        };
        self.sender.request();
        let deadline = Instant::now() + limit.min(LEAVE_LIMIT);
        self.deadline = Some(
            self.deadline
                .map_or(deadline, |earlier| earlier.min(deadline)),
        );
    }
}

/// Polls once: the result, when there is one already.
async fn first_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
