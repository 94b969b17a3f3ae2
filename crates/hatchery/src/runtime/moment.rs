//! Moments in the process's life that user code can wait for.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::pressure::{MemoryPressure, PressureLevel};

/// A moment in the process's life: it has come, or may come yet.
#[derive(Clone, Debug)]
pub struct Moment(watch::Receiver<bool>);

impl Moment {
    /// Waits for it; returns at once when it has come already.
    pub async fn comes(&self) {
        // An error means that nobody is left who could bring it: the process is ending.
        let _ = self.0.clone().wait_for(|come| *come).await;
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        *self.0.borrow()
    }
}

/// The moments of a process.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// The process is to end; what goes on must be done within the drain's time-out.
    pub(crate) shutdown: Moment,
    /// When connections are cut, once the process drains.
    #[cfg_attr(
        not(feature = "websocket"),
        allow(dead_code, reason = "only WebSockets have to end before")
    )]
    pub(crate) drain_ends: watch::Receiver<Option<Instant>>,
    /// Agent and all workers are ready.
    pub(crate) server_did_ready: Moment,
    /// Memory is short.
    pub(crate) pressure: MemoryPressure,
    /// The slot that a spare was given.
    pub(crate) slot: Arc<OnceLock<u32>>,
    /// Brings the shutdown about from within: when a start has failed.
    end: watch::Sender<bool>,
}

impl Moments {
    /// The process is to end, if nobody has said so yet.
    pub(crate) fn end(&self) {
        self.end.send_replace(true);
    }
}

/// The side that brings the moments about.
#[derive(Clone, Debug)]
pub(crate) struct Bells {
    shutdown: watch::Sender<bool>,
    drain_ends: watch::Sender<Option<Instant>>,
    server_did_ready: watch::Sender<bool>,
    pressure: watch::Sender<PressureLevel>,
    slot: Arc<OnceLock<u32>>,
}

impl Bells {
    pub(crate) fn new() -> (Self, Moments) {
        let (shutdown, shutdown_comes) = watch::channel(false);
        let (drain_ends, drain_ends_at) = watch::channel(None);
        let (server_did_ready, server_did_ready_comes) = watch::channel(false);
        let (pressure, pressure_is) = MemoryPressure::new();
        let slot = Arc::new(OnceLock::new());
        let moments = Moments {
            shutdown: Moment(shutdown_comes),
            drain_ends: drain_ends_at,
            server_did_ready: Moment(server_did_ready_comes),
            pressure: pressure_is,
            slot: Arc::clone(&slot),
            end: shutdown.clone(),
        };
        (
            Self {
                shutdown,
                drain_ends,
                server_did_ready,
                pressure,
                slot,
            },
            moments,
        )
    }

    pub(crate) fn shutdown(&self) {
        self.shutdown.send_replace(true);
    }

    /// The process is to end, and connections are cut after `limit` at the latest. Told again, the
    /// earlier end holds.
    pub(crate) fn drain(&self, limit: Duration) {
        let end = Instant::now().checked_add(limit);
        self.drain_ends.send_modify(|known| {
            *known = [*known, end].into_iter().flatten().min();
        });
        self.shutdown();
    }

    pub(crate) fn server_did_ready(&self) {
        self.server_did_ready.send_replace(true);
    }

    pub(crate) fn pressure(&self, level: PressureLevel) {
        self.pressure
            .send_if_modified(|now| std::mem::replace(now, level) != level);
    }

    /// A spare has a slot. It keeps the first one.
    pub(crate) fn slot(&self, slot: u32) {
        let _ = self.slot.set(slot);
    }
}
