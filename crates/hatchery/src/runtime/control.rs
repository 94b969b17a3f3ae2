//! The thread that listens to the master.
//!
//! It is a plain thread, so that it does its work also while the runtime is blocked: what it hears
//! waits in bounded queues, and when the master dies it looks for the next one, or ends the process
//! itself, in time.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hatchery_ipc::child::{Kept, PACKET_MAX, ToChild, ToMaster, decode, encode};
use hatchery_sys::{packet, process, stack};

use super::orphan::{Belongings, RETRY};
use crate::complain::complain;
use crate::pressure::PressureLevel;

/// How long an orphan may drain before it kills itself.
const ORPHAN_DRAIN: Duration = Duration::from_secs(2);

/// Who keeps the socket open for this long is a master.
const A_MASTER: Duration = Duration::from_secs(1);

/// Stands in for what no clock can count to.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// The child's end of the socket to the master.
#[derive(Debug)]
pub(crate) struct Control {
    /// Another one when another master has taken over.
    socket: Mutex<Arc<OwnedFd>>,
    /// The newest version of the protocol that the master speaks.
    protocol: u8,
    is_ready: AtomicBool,
    is_leaving: AtomicBool,
    is_orphan: AtomicBool,
}

/// What the control thread remembers.
struct Thread<D> {
    duty: D,
    belongings: Arc<Belongings>,
    /// When the drain that it was told to make ends.
    drain_until: Option<Instant>,
    /// Listeners of a list that has not come to its end.
    kept: Vec<(Kept, OwnedFd)>,
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
    /// Give idle connections to the successor at the other end, as soon as you drain. Who cannot
    /// closes the channel, and so here and below does who has no connections.
    fn hand_over(&self, channel: OwnedFd) {
        drop(channel);
    }
    /// Serve the connections that a predecessor gives you.
    fn inherit(&self, channel: OwnedFd) {
        drop(channel);
    }
    /// Give away the connections that the serving threads have not looked at.
    fn rescue(&self, channel: OwnedFd) {
        drop(channel);
    }
}

impl Control {
    pub(super) fn new(socket: OwnedFd, protocol: u8) -> Self {
        Self {
            socket: Mutex::new(Arc::new(socket)),
            protocol,
            is_ready: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            is_orphan: AtomicBool::new(false),
        }
    }

    /// Tells the master something. Never blocks: a master that reads nothing is not to hang us.
    pub(super) fn tell(&self, message: &ToMaster) -> io::Result<()> {
        match message {
            ToMaster::Ready => self.is_ready.store(true, Ordering::Relaxed),
            ToMaster::Leaving => self.is_leaving.store(true, Ordering::Relaxed),
            _ => {}
        }
        let bytes = encode(message, self.protocol).map_err(io::Error::other)?;
        packet::send(&*self.socket(), &bytes, &[], true)
    }

    /// Whether this process was told to end by a signal, and has told the master so.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket.lock().unwrap_or_else(PoisonError::into_inner))
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
        belongings: Arc<Belongings>,
        duty: impl Duty,
    ) -> io::Result<()> {
        let control = Arc::clone(self);
        let mut thread = Thread {
            duty,
            belongings,
            drain_until: None,
            kept: Vec::new(),
        };
        let listen = move || control.serve_masters(&mut thread);
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

    /// Hears one master after the other, until none comes.
    fn serve_masters(&self, thread: &mut Thread<impl Duty>) {
        let mut orphaned_at = None;
        let mut readers = own_readers();
        loop {
            let since = Instant::now();
            self.hear(thread);
            self.is_orphan.store(true, Ordering::Relaxed);
            // Their reader was the master. Writing would fail, and code that prints would panic.
            let _ = process::redirect_to_null(&[1, 2]);
            readers.clear();
            if !self.is_ready.load(Ordering::Relaxed) {
                // It serves nobody yet, and the next master starts its own.
                process::kill_own_group();
            }
            // Who only accepts connections is no master, and ends no grace.
            if since.elapsed() >= A_MASTER {
                orphaned_at = None;
            } else if orphaned_at.is_some() {
                // It took the report and hung up: asked again at once, it would do nothing else.
                thread::sleep(RETRY);
            }
            let orphaned_at = *orphaned_at.get_or_insert_with(Instant::now);
            let socket = thread.find_master(orphaned_at);
            *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(socket);
        }
    }

    /// Hears the master until it is gone.
    fn hear(&self, thread: &mut Thread<impl Duty>) {
        let socket = self.socket();
        let mut buffer = vec![0; PACKET_MAX];
        loop {
            let packet = match packet::receive(&*socket, &mut buffer, false) {
                Ok(Some(packet)) => packet,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    complain(format_args!("the master's message is lost: {error}"));
                    continue;
                }
                // With a socket that is broken, the master is as good as gone.
                Ok(None) | Err(_) => return,
            };
            match decode(&buffer[..packet.len]) {
                Ok(message) => thread.follow(message, packet.fds),
                Err(error) => complain(format_args!("the master's message: {error}")),
            }
        }
    }
}

/// Read ends of the pipes that this process writes its output to. While one is open, a write in the
/// moment between the master's death and the redirection does not fail: `println!` would panic, and
/// with it the request that it is part of.
fn own_readers() -> Vec<File> {
    let open = |path: &str| {
        let is_pipe = std::fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo());
        // Does not wait: this process is a writer itself.
        is_pipe.then(|| File::open(path).ok()).flatten()
    };
    let output = ["/proc/self/fd/1", "/proc/self/fd/2"];
    output.into_iter().filter_map(open).collect()
}

impl<D: Duty> Thread<D> {
    /// The master is gone: serves on for the grace, drains, and ends, whatever the runtime does;
    /// unless another master comes before the end.
    fn find_master(&mut self, orphaned_at: Instant) -> OwnedFd {
        let belongings = Arc::clone(&self.belongings);
        if self.drain_until.is_none() {
            let grace_ends = orphaned_at.checked_add(belongings.grace);
            let grace_ends = grace_ends.unwrap_or_else(|| orphaned_at + FOR_EVER);
            if let Some(socket) = belongings.find_master(grace_ends, false) {
                return socket;
            }
            // Nobody comes: new clients are to be refused, not left to wait.
            belongings.keep(Vec::new());
            self.duty.drain(ORPHAN_DRAIN, false);
            self.drain_until = Some(Instant::now() + ORPHAN_DRAIN);
        }
        let ends = self.drain_until.unwrap_or_else(Instant::now);
        match belongings.find_master(ends, true) {
            Some(socket) => socket,
            None => process::kill_own_group(),
        }
    }

    fn follow(&mut self, message: ToChild, fds: Vec<OwnedFd>) {
        match message {
            ToChild::Drain { limit_ms, .. } => {
                let limit = Duration::from_millis(limit_ms);
                let now = Instant::now();
                let until = now.checked_add(limit).unwrap_or_else(|| now + FOR_EVER);
                self.drain_until = Some(self.drain_until.map_or(until, |at| at.min(until)));
            }
            ToChild::Keep { listeners, more } => return self.keep(listeners, fds, more),
            ToChild::Serve {
                slot,
                ref listeners,
            } => self.belongings.serve(slot, listeners, &fds),
            _ => {}
        }
        follow(&message, fds, &self.duty);
    }

    fn keep(&mut self, listeners: Vec<Kept>, fds: Vec<OwnedFd>, more: bool) {
        if listeners.len() != fds.len() {
            complain(format_args!(
                "{} listeners to keep were announced and {} came",
                listeners.len(),
                fds.len()
            ));
        }
        self.kept.extend(listeners.into_iter().zip(fds));
        if !more {
            self.belongings.keep(std::mem::take(&mut self.kept));
        }
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
        ToChild::HandOver | ToChild::Inherit | ToChild::Rescue => match fds.pop() {
            Some(channel) if *message == ToChild::HandOver => duty.hand_over(channel),
            Some(channel) if *message == ToChild::Rescue => duty.rescue(channel),
            Some(channel) => duty.inherit(channel),
            None => complain(format_args!("{message:?}: the channel did not come along")),
        },
        ToChild::Stack => stack::ask(),
        // Followed before.
        ToChild::Keep { .. } => {}
    }
}
