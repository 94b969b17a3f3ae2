//! What the serving threads are told, from before they exist.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::complain::complain;
use crate::serve::{Arrivals, Heir, Order, Unread};

/// Most orders that wait for one thread. There are few: one for each slot that loses its worker.
pub(super) const QUEUE_MAX: usize = 64;

/// Passes orders on to the serving threads; those that come while the process boots wait.
#[derive(Default)]
pub(crate) struct Orders {
    state: Mutex<State>,
    arrivals: Arc<Arrivals>,
    unread: Arc<Unread>,
}

#[derive(Default)]
struct State {
    threads: Vec<mpsc::Sender<Order>>,
    early: Vec<Order>,
    /// Who takes idle connections over when they drain.
    heir: Option<Heir>,
    /// The drain that came too early.
    drain: Option<(Duration, bool)>,
}

impl Orders {
    /// From now on these threads are told.
    pub(super) fn begin(&self, threads: Vec<mpsc::Sender<Order>>) {
        let mut state = self.lock();
        state.threads = threads;
        for order in std::mem::take(&mut state.early) {
            state.pass(0, order);
        }
        if let Some(heir) = state.heir.take() {
            state.pass_to_all(|| Order::HandOver(heir.clone()));
        }
        if let Some((limit, successor)) = state.drain.take() {
            state.drain(limit, successor);
        }
    }

    /// Tells all threads to finish what they have within `limit`.
    pub(crate) fn drain(&self, limit: Duration, successor: bool) {
        self.lock().drain(limit, successor);
    }

    /// Has what waits in `listener` accepted; `done` gets the number of connections.
    pub(super) fn adopt(&self, listener: OwnedFd, done: Box<dyn FnOnce(u32) + Send>) {
        self.lock().pass(0, Order::Adopt { listener, done });
    }

    /// Has each thread accept from its own descriptors of these listeners.
    pub(super) fn serve(&self, listeners: &[OwnedFd]) -> io::Result<()> {
        let mut state = self.lock();
        // Only one that is ready is told, but the first thread is there in any case.
        for thread in 0..state.threads.len().max(1) {
            let listeners = listeners.iter().map(OwnedFd::try_clone);
            let listeners = listeners.collect::<io::Result<_>>()?;
            state.pass(thread, Order::Serve { listeners });
        }
        Ok(())
    }

    /// From now on idle connections of draining threads go to `heir`.
    pub(super) fn hand_over(&self, heir: &Heir) {
        let mut state = self.lock();
        if state.threads.is_empty() {
            state.heir = Some(heir.clone());
        }
        state.pass_to_all(|| Order::HandOver(heir.clone()));
    }

    /// The heir of this number takes no more.
    pub(super) fn give_up(&self, heir: u64) {
        self.lock().pass_to_all(|| Order::GiveUp(heir));
    }

    /// What the serving threads are to serve on.
    pub(super) fn arrivals(&self) -> &Arc<Arrivals> {
        &self.arrivals
    }

    /// What can be taken from the serving threads.
    pub(super) fn unread(&self) -> &Arc<Unread> {
        &self.unread
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drain(&mut self, limit: Duration, successor: bool) {
        if self.threads.is_empty() {
            self.drain = Some((limit, successor));
        }
        self.pass_to_all(|| Order::Drain { limit, successor });
    }

    fn pass_to_all(&mut self, order: impl Fn() -> Order) {
        for thread in 0..self.threads.len() {
            self.pass(thread, order());
        }
    }

    fn pass(&mut self, thread: usize, order: Order) {
        let passed = match self.threads.get(thread) {
            Some(thread) => thread.try_send(order).is_ok(),
            None if self.early.len() < QUEUE_MAX => {
                self.early.push(order);
                true
            }
            None => false,
        };
        // It has ended, or is blocked and will be replaced.
        if !passed {
            complain(format_args!(
                "serving thread {thread} cannot be told anything"
            ));
        }
    }
}
