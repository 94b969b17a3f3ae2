//! The thread that listens to the master.
//!
//! It is a thread of its own so that the master's end is noticed even when every serving loop is
//! blocked: an orphan drains for a short while and is then ended by this thread. (A signal on the
//! parent's death would be tied to the thread that forked, and would cut requests.)

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use hatchery_ipc::child::{ToChild, ToMaster};
use hatchery_sys::process;

use super::child::Master;

/// How long an orphan may drain. Its master's successor waits for the port.
const ORPHAN_DRAIN: Duration = Duration::from_secs(2);

/// What a process does when its master speaks. Called on the control thread; must not block.
pub(crate) trait Orders: Send + Sync + 'static {
    /// Finish what you have and end.
    fn drain(&self, limit: Duration, successor: bool);
    /// Accept all that waits in `listener`, then call `done` with the number.
    fn adopt(&self, listener: OwnedFd, done: Box<dyn FnOnce(u32) + Send>);
    /// The whole pool is up.
    fn server_did_ready(&self);
}

/// The running thread, as the rest of the process sees it.
pub(crate) struct Control {
    shared: Arc<Shared>,
}

struct Shared {
    /// Who follows the orders; nobody yet while the process boots.
    orders: OnceLock<Box<dyn Orders>>,
    /// Whether the master is gone.
    orphaned: AtomicBool,
}

impl Control {
    /// Starts the thread. The first thing that a process does, so that one whose boot takes long
    /// does not outlive its master.
    pub(crate) fn listen(master: Master, orphan_grace: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            orders: OnceLock::new(),
            orphaned: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new()
            .name("hatchery-control".into())
            .stack_size(128 * 1024)
            .spawn(move || {
                obey(&master, &theirs.orders);
                theirs.orphaned.store(true, Ordering::Release);
                end_orphan(orphan_grace, &theirs.orders);
            })?;
        Ok(Self { shared })
    }

    /// From now on `orders` are followed. To be called before the process says that it is ready:
    /// the master gives none before that.
    pub(crate) fn follow(&self, orders: impl Orders) {
        let _ = self.shared.orders.set(Box::new(orders));
    }

    /// The end of the process. An orphan takes its group along: nobody else is there to do it.
    pub(crate) fn end_group(&self) {
        if self.shared.orphaned.load(Ordering::Acquire) {
            process::kill_own_group();
        }
    }
}

/// Passes on what the master says, until it is gone (or cannot be understood, which is as bad).
fn obey(master: &Master, orders: &OnceLock<Box<dyn Orders>>) {
    loop {
        let (message, fds) = match master.hear() {
            Ok(Some(heard)) => heard,
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                eprintln!("cannot understand the master: {error}");
                return;
            }
        };
        let Some(orders) = orders.get() else { continue };
        match message {
            ToChild::Drain {
                limit_ms,
                successor,
            } => {
                orders.drain(Duration::from_millis(limit_ms), successor);
            }
            ToChild::ServerDidReady => orders.server_did_ready(),
            ToChild::Adopt { listener } => {
                let Some(socket) = fds.into_iter().next() else {
                    continue;
                };
                let master = master.clone();
                let done = move |accepted| master.say(&ToMaster::Adopted { listener, accepted });
                orders.adopt(socket, Box::new(done));
            }
            ToChild::Welcome(_) => {}
        }
    }
}

/// Without a master: serve on for the grace, drain for a while, and end whatever still runs. Who
/// has not begun to serve has nothing to finish.
fn end_orphan(grace: Duration, orders: &OnceLock<Box<dyn Orders>>) -> ! {
    let Some(orders) = orders.get() else {
        process::kill_own_group()
    };
    // The pipes have lost their reader: a line written to them would be an error in a handler.
    let _ = process::redirect_to_null(&[1, 2]);
    thread::sleep(grace);
    orders.drain(ORPHAN_DRAIN, false);
    thread::sleep(ORPHAN_DRAIN);
    process::kill_own_group()
}
