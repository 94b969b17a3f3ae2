//! Connections of which nothing has been read: whoever holds them may serve them.
//!
//! A thread that hangs in a handler keeps what it has accepted and not yet looked at. Those clients
//! need not wait for the end of the process: the control thread, which is not blocked, takes their
//! connections away and gives them to another worker. Should the serving thread go on after all, it
//! finds that they are not its own any more, and only closes its descriptors.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hatchery_sys::process;
use slab::Slab;

use super::common::Detached;
use super::listener::Socket;
use super::state::Shared;

/// Who may read.
#[derive(Debug, Default)]
pub(super) struct Hold(AtomicU8);

/// Nobody reads at the moment: the connection may be taken away.
const AT_REST: u8 = 0;
/// Its driver reads.
const DRIVEN: u8 = 1;
/// It was taken away, for ever.
const TAKEN: u8 = 2;

impl Hold {
    /// The driver is about to read. Returns false when the connection is not its own any more.
    fn take_up(&self) -> bool {
        let change = (AT_REST, DRIVEN, Ordering::Acquire, Ordering::Acquire);
        self.change(change) || self.0.load(Ordering::Acquire) == DRIVEN
    }

    /// The driver has found nothing to read.
    fn lay_down(&self) {
        self.0.store(AT_REST, Ordering::Release);
    }

    fn take_away(&self) -> bool {
        self.change((AT_REST, TAKEN, Ordering::AcqRel, Ordering::Acquire))
    }

    pub(super) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) == TAKEN
    }

    fn change(&self, (from, to, success, failure): (u8, u8, Ordering, Ordering)) -> bool {
        self.0.compare_exchange(from, to, success, failure).is_ok()
    }
}

/// All such connections of a process.
#[derive(Debug, Default)]
pub(crate) struct Unread(Mutex<Slab<Entry>>);

#[derive(Debug)]
struct Entry {
    /// Open while the entry is there: its driver leaves before it closes.
    socket: RawFd,
    shared: Arc<Shared>,
}

impl Unread {
    pub(super) fn enter(self: &Arc<Self>, socket: RawFd, shared: &Arc<Shared>) -> Ticket {
        let entry = Entry {
            socket,
            shared: Arc::clone(shared),
        };
        Ticket {
            key: self.lock().insert(entry),
            list: Arc::clone(self),
            shared: Arc::clone(shared),
        }
    }

    /// Takes all of them away from their drivers; from now on they are the caller's alone.
    pub(crate) fn take_away(&self) -> Vec<Detached> {
        let entries = self.lock();
        let mut taken = Vec::new();
        for (_, Entry { socket, shared }) in entries.iter() {
            if !shared.hold().take_away() {
                continue;
            }
            match process::duplicate(*socket).and_then(Socket::new) {
                Ok(socket) => {
                    let open = Some(shared.hold_open());
                    // The driver's, which does not count itself down any more.
                    shared.thread().page().connections_sub(1);
                    taken.push(Detached {
                        socket,
                        ahead: Bytes::new(),
                        open,
                    });
                }
                // No descriptor is left for it: it stays where it is.
                Err(_) => shared.hold().lay_down(),
            }
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Entry>> {
        // No code of others runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A driver's place in the list, until it has read something. Must go before the socket does.
#[derive(Debug)]
pub(super) struct Ticket {
    list: Arc<Unread>,
    key: usize,
    shared: Arc<Shared>,
}

impl Ticket {
    /// To be called before anything is read. Returns false when the connection was taken away.
    pub(super) fn take_up(&self) -> bool {
        self.shared.hold().take_up()
    }

    /// To be called when nothing was there to be read.
    pub(super) fn lay_down(&self) {
        self.shared.hold().lay_down();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.list.lock().try_remove(self.key);
    }
}
