//! The thread that listens to the master.
//!
//! It is a plain thread, so that it does its work also while the runtime is blocked: what it hears
//! waits in bounded queues, and when the master dies it ends the process itself, in time.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hatchery_ipc::child::{PACKET_MAX, ToChild, ToMaster, decode, encode};
use hatchery_sys::{packet, process};

use crate::complain::complain;
use crate::pressure::PressureLevel;

/// How long an orphan may drain before it kills itself.
const ORPHAN_DRAIN: Duration = Duration::from_secs(2);

/// The child's end of the socket to the master.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
    /// The newest version of the protocol that the master speaks.
    protocol: u8,
    is_orphan: AtomicBool,
}

/// What the role of a child does with what it hears. Called on the control thread; must not block.
pub(super) trait Duty: Send + 'static {
    /// Finish what you have within `limit`, and end.
    fn drain(&self, limit: Duration, successor: bool);
    /// Serve what waits in this listener.
    fn adopt(&self, listener: u32, socket: OwnedFd);
    /// The whole pool is up.
    fn server_did_ready(&self);
    /// Memory is so short.
    fn pressure(&self, level: PressureLevel);
    /// You were a spare: serve these listeners in this slot.
    fn serve(&self, slot: u32, listeners: Vec<OwnedFd>);
}

impl Control {
    pub(super) fn new(socket: OwnedFd, protocol: u8) -> Self {
        Self {
            socket,
            protocol,
            is_orphan: AtomicBool::new(false),
        }
    }

    /// Tells the master something. Never blocks: a master that reads nothing is not to hang us.
    pub(super) fn tell(&self, message: &ToMaster) -> io::Result<()> {
        let bytes = encode(message, self.protocol).map_err(io::Error::other)?;
        packet::send(&self.socket, &bytes, &[], true)
    }

    /// Tells the master something that it can do without.
    pub(super) fn mention(&self, message: &ToMaster) {
        if let Err(error) = self.tell(message) {
            complain(format_args!("cannot tell the master {message:?}: {error}"));
        }
    }

    /// Starts the thread. Without it a child would outlive its master, so its failure is a reason
    /// not to start.
    pub(super) fn listen(
        self: &Arc<Self>,
        orphan_grace: Duration,
        duty: impl Duty,
    ) -> io::Result<()> {
        let control = Arc::clone(self);
        let listen = move || {
            control.hear(&duty);
            control.orphaned(orphan_grace, &duty);
        };
        thread::Builder::new()
            .name("hatchery-control".into())
            .spawn(listen)
            .map(drop)
    }

    /// When the master is dead, the rest of the process group goes with this process: nobody else
    /// is left to end it.
    pub(super) fn end_if_orphaned(&self) {
        if self.is_orphan.load(Ordering::Relaxed) {
            process::kill_own_group();
        }
    }

    /// Hears the master until it is gone.
    fn hear(&self, duty: &impl Duty) {
        let mut buffer = vec![0; PACKET_MAX];
        loop {
            let packet = match packet::receive(&self.socket, &mut buffer, false) {
                Ok(Some(packet)) => packet,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    complain(format_args!("the master's message is lost: {error}"));
                    continue;
                }
                // With a socket that is broken, the master is as good as gone.
                Ok(None) | Err(_) => return,
            };
            match decode(&buffer[..packet.len]) {
                Ok(message) => follow(&message, packet.fds, duty),
                Err(error) => complain(format_args!("the master's message: {error}")),
            }
        }
    }

    /// The master is gone: serve on for the grace, drain, and end, whatever the runtime does.
    fn orphaned(&self, grace: Duration, duty: &impl Duty) {
        self.is_orphan.store(true, Ordering::Relaxed);
        // Their reader was the master. Writing would fail, and code that prints would panic.
        let _ = process::redirect_to_null(&[1, 2]);
        thread::sleep(grace);
        duty.drain(ORPHAN_DRAIN, false);
        thread::sleep(ORPHAN_DRAIN);
        process::kill_own_group()
    }
}

fn follow(message: &ToChild, mut fds: Vec<OwnedFd>, duty: &impl Duty) {
    match *message {
        ToChild::Welcome(_) => complain(format_args!("the master says welcome twice")),
        ToChild::ServerDidReady => duty.server_did_ready(),
        ToChild::Drain {
            limit_ms,
            successor,
        } => {
            duty.drain(Duration::from_millis(limit_ms), successor);
        }
        ToChild::Adopt { listener } => match fds.pop() {
            Some(socket) => duty.adopt(listener, socket),
            None => complain(format_args!(
                "listener {listener} to adopt did not come along"
            )),
        },
        ToChild::Pressure { level } => duty.pressure(PressureLevel::from_number(level)),
        ToChild::Serve {
            slot,
            ref listeners,
        } => {
            let (told, came) = (listeners.len(), fds.len());
            if told != came {
                complain(format_args!("{told} listeners were announced, {came} came"));
            }
            duty.serve(slot, fds);
        }
        ToChild::HandOver | ToChild::Inherit | ToChild::Stack | ToChild::Keep { .. } => {
            complain(format_args!("nobody here follows {message:?}"));
        }
    }
}
