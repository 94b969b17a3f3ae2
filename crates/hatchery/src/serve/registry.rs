//! Who is connected to one serving thread.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::Waker;

use slab::Slab;

use super::state::{Request, Shared};
use super::verdict::Patience;

/// The connections that have a driver on this thread. Instead of a timer for each of them, the
/// loop [sweeps](Self::sweep) over all now and then.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: RefCell<Slab<Entry>>,
}

#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    waker: Waker,
}

impl Registry {
    /// Enters a connection; its driver must [leave](Self::leave) when it ends. `waker` must stay
    /// the driver's: a spawned task never changes it.
    pub(super) fn enter(&self, shared: Arc<Shared>, waker: Waker) -> usize {
        self.entries.borrow_mut().insert(Entry { shared, waker })
    }

    pub(super) fn leave(&self, key: usize) {
        self.entries.borrow_mut().try_remove(key);
    }

    /// Asks those to go whose patience is over, and wakes them.
    pub(super) fn sweep(&self, patience: &Patience) {
        for (key, entry) in self.entries.borrow().iter() {
            let Entry { shared, waker } = entry;
            let request = patience.verdict(&shared.seen(), key);
            if request != Request::None {
                shared.ask(request);
                waker.wake_by_ref();
            }
        }
    }

    /// Asks all to leave as soon as they are idle.
    pub(super) fn dismiss(&self) {
        for (_, entry) in self.entries.borrow().iter() {
            entry.shared.ask(Request::LeaveSoon);
            entry.waker.wake_by_ref();
        }
    }

    /// Takes that back. Returns how many HTTP/1.1 connections there are.
    pub(super) fn keep(&self) -> u64 {
        let mut kept = 0;
        for (_, Entry { shared, waker }) in self.entries.borrow().iter() {
            kept += u64::from(!shared.is_http2());
            if shared.asked() == Request::LeaveSoon {
                shared.ask(Request::None);
                // It may have stopped reading.
                waker.wake_by_ref();
            }
        }
        kept
    }
}
