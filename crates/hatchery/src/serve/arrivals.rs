//! Connections that come without being accepted: from another process, or back from it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::common::Detached;

/// A connection that is to be served on.
pub(crate) enum Arrival {
    /// Another process gives it to this one.
    Inherited {
        connection: Detached,
        /// Tells the other that this process has it. If that cannot be told (`false`) the other
        /// has taken it back, and nobody here may touch it.
        acknowledge: Box<dyn FnOnce() -> bool + Send>,
    },
    /// It was to go to another process, which did not take it.
    Returned(Detached),
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, connection) = match self {
            Self::Inherited { connection, .. } => ("Inherited", connection),
            Self::Returned(connection) => ("Returned", connection),
        };
        f.debug_tuple(name).field(connection).finish()
    }
}

/// What has arrived for the serving threads of one process. Whichever has time takes the next, so
/// that a blocked thread holds up nothing.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    queue: Mutex<VecDeque<Arrival>>,
    /// The queue's length, for a look without the lock.
    waiting: AtomicUsize,
    come: Notify,
}

impl Arrivals {
    /// Adds one.
    pub(crate) fn push(&self, arrival: Arrival) {
        let mut queue = self.lock();
        queue.push_back(arrival);
        self.waiting.store(queue.len(), Ordering::Release);
        drop(queue);
        self.come.notify_one();
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next one, when it has come. A thread that was told and is blocked is no loss: the
    /// others look again with each turn of their loops, at their next tick at the latest.
    pub(super) async fn next(&self) -> Arrival {
        loop {
            if let Some(arrival) = self.pop() {
                return arrival;
            }
            self.come.notified().await;
        }
    }

    fn pop(&self) -> Option<Arrival> {
        if self.is_empty() {
            return None;
        }
        let mut queue = self.lock();
        let arrival = queue.pop_front();
        self.waiting.store(queue.len(), Ordering::Release);
        if !queue.is_empty() {
            self.come.notify_one();
        }
        arrival
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arrival>> {
        // No code of others runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
