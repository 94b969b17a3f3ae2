//! The old worker's side: connections go, and come back where nobody takes them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hatchery_ipc::handover::{
    AHEAD_MAX, Acknowledged, Connection, UNACKNOWLEDGED_MAX, decode, encode,
};
use hatchery_sys::page::StatsPage;
use hatchery_sys::{memfd, packet};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::Shutdown;

use crate::complain::complain;
use crate::serve::{Arrival, Arrivals, Detached, Heir, Unread};

/// How long the successor may leave the oldest connection unacknowledged.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most that one wait adds to the time of the successor's silence: what this process has slept
/// through is not held against it.
const STEP: Duration = Duration::from_millis(100);

/// Room for an acknowledgement, in bytes; it needs 6 at most.
const ACKNOWLEDGED_MAX: usize = 64;

/// Counts the heirs of this process.
static HEIRS: AtomicU64 = AtomicU64::new(1);

/// Starts the thread that gives connections to the successor at the channel's other end.
///
/// When the successor takes no more, `give_up` is called with the heir's number, and then what it
/// did not take comes back as arrivals.
pub(crate) fn start(
    channel: OwnedFd,
    arrivals: Arc<Arrivals>,
    page: Arc<StatsPage>,
    give_up: impl FnOnce(u64) + Send + 'static,
) -> io::Result<Heir> {
    let number = HEIRS.fetch_add(1, Ordering::Relaxed);
    let giver = Giver::new(channel, page)?;
    let desk = Arc::clone(&giver.desk);
    let give = move || {
        let returned = giver.run();
        give_up(number);
        for connection in returned {
            arrivals.push(Arrival::Returned(connection));
        }
    };
    thread::Builder::new()
        .name("hatchery-give".into())
        .spawn(give)?;
    let take = Arc::new(move |connection| desk.put(connection));
    Ok(Heir { number, take })
}

/// Starts a thread that takes from their drivers the connections that nobody has looked at, gives
/// them to the worker at the channel's other end, and ends. What that does not take comes back as
/// arrivals. Nothing is taken away when the thread cannot be started.
pub(crate) fn rescue(
    channel: OwnedFd,
    unread: Arc<Unread>,
    arrivals: Arc<Arrivals>,
    page: Arc<StatsPage>,
) -> io::Result<()> {
    let mut giver = Giver::new(channel, page)?;
    giver.is_done = true;
    let give = move || {
        giver.waiting.extend(unread.take_away());
        for connection in giver.run() {
            arrivals.push(Arrival::Returned(connection));
        }
    };
    thread::Builder::new()
        .name("hatchery-rescue".into())
        .spawn(give)
        .map(drop)
}

/// Where serving threads put connections.
struct Desk {
    /// `None` when nobody takes them from here any more.
    queue: Mutex<Option<VecDeque<Detached>>>,
    /// An eventfd that wakes the giver.
    bell: OwnedFd,
}

impl Desk {
    fn put(&self, connection: Detached) -> Result<(), Detached> {
        let mut queue = self.lock();
        let Some(queue) = queue.as_mut() else {
            return Err(connection);
        };
        queue.push_back(connection);
        if queue.len() == 1 {
            // It can fail only if it was rung 2^64 times.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
        Ok(())
    }

    fn take(&self) -> VecDeque<Detached> {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn close(&self) -> VecDeque<Detached> {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Detached>>> {
        // No code of others runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's state.
struct Giver {
    desk: Arc<Desk>,
    channel: OwnedFd,
    page: Arc<StatsPage>,
    /// Not offered yet.
    waiting: VecDeque<Detached>,
    /// Offered and not acknowledged, with their numbers, oldest first.
    offered: VecDeque<(u32, Detached)>,
    next: u32,
    /// The channel has no room at the moment.
    is_full: bool,
    /// How long nothing has moved.
    silent: Duration,
    /// Nothing is added any more: the end comes when all is given.
    is_done: bool,
}

impl Giver {
    fn new(channel: OwnedFd, page: Arc<StatsPage>) -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let desk = Arc::new(Desk {
            queue: Mutex::new(Some(VecDeque::new())),
            bell: eventfd(0, flags)?,
        });
        Ok(Self {
            desk,
            channel,
            page,
            waiting: VecDeque::new(),
            offered: VecDeque::new(),
            next: 0,
            is_full: false,
            silent: Duration::ZERO,
            is_done: false,
        })
    }

    /// Gives until the successor takes no more; returns what it did not take.
    fn run(mut self) -> Vec<Detached> {
        while self.silent < PATIENCE {
            self.waiting.extend(self.desk.take());
            if self.is_done && self.waiting.is_empty() && self.offered.is_empty() {
                break;
            }
            let Ok(moved) = self.offer().and_then(|()| self.wait()) else {
                // The successor is gone, or says that it takes no more.
                break;
            };
            if moved || self.offered.is_empty() && self.waiting.is_empty() {
                self.silent = Duration::ZERO;
            }
        }
        if self.silent >= PATIENCE {
            complain(format_args!(
                "the successor takes no connections: {} stay here",
                self.offered.len() + self.waiting.len()
            ));
        }
        self.take_back()
    }

    /// Sends as many as may be under way at a time.
    fn offer(&mut self) -> io::Result<()> {
        self.is_full = false;
        while self.offered.len() < UNACKNOWLEDGED_MAX
            && let Some(connection) = self.waiting.front()
        {
            match send(&self.channel, self.next, connection) {
                Ok(()) => {
                    let Some(connection) = self.waiting.pop_front() else {
                        break;
                    };
                    self.offered.push_back((self.next, connection));
                    self.next = self.next.wrapping_add(1);
                }
                // No room, no memory, or too many descriptors are under way: it may pass.
                Err(error) if is_gone(&error) => return Err(error),
                Err(_) => {
                    self.is_full = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for acknowledgements, room or work. Returns whether the oldest was acknowledged.
    fn wait(&mut self) -> io::Result<bool> {
        let begun = Instant::now();
        let pending = self.is_full || !self.offered.is_empty();
        let step = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(STEP.subsec_nanos()),
        };
        // A channel whose room does not grow would be ready all the time: hence no wait for room.
        let mut fds = [
            PollFd::new(&self.desk.bell, PollFlags::IN),
            PollFd::new(&self.channel, PollFlags::IN),
        ];
        match poll(&mut fds, pending.then_some(&step)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let oldest = self.offered.front().map(|(number, _)| *number);
        self.hear()?;
        let moved = oldest.is_some() && oldest != self.offered.front().map(|(number, _)| *number);
        if pending {
            self.silent += begun.elapsed().min(STEP);
        }
        Ok(moved)
    }

    /// Reads the acknowledgements that are there. An error is the channel's end.
    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; ACKNOWLEDGED_MAX];
        loop {
            let packet = match packet::receive(&self.channel, &mut buffer, true) {
                Ok(Some(packet)) => packet,
                Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let Acknowledged { number } =
                decode(&buffer[..packet.len]).map_err(io::Error::other)?;
            let place = self.offered.iter().position(|(known, _)| *known == number);
            if let Some((_, connection)) = place.and_then(|place| self.offered.remove(place)) {
                self.page.handed_add(1);
                // Only this process's descriptor is closed.
                drop(connection);
            }
        }
    }

    /// Ends the channel and takes back what was not acknowledged before.
    fn take_back(mut self) -> Vec<Detached> {
        let _ = rustix::net::shutdown(&self.channel, Shutdown::Both);
        // What had been queued before is still there; nothing comes after it. The end of the other
        // side can be told as an error before it.
        while let Err(error) = self.hear()
            && error.kind() == io::ErrorKind::ConnectionReset
        {}
        let offered = self.offered.into_iter().map(|(_, connection)| connection);
        let returned: Vec<_> = offered
            .chain(self.waiting)
            .chain(self.desk.close())
            .collect();
        self.page.returned_add(returned.len() as u64);
        returned
    }
}

/// Sends a connection and what was read of it.
fn send(channel: &OwnedFd, number: u32, connection: &Detached) -> io::Result<()> {
    let ahead = connection.ahead();
    let in_memfd = ahead.len() > AHEAD_MAX;
    let message = Connection {
        number,
        ahead: if in_memfd { Vec::new() } else { ahead.to_vec() },
        ahead_in_memfd: in_memfd,
    };
    let bytes = encode(&message).map_err(io::Error::other)?;
    let memory = in_memfd
        .then(|| memfd::with("hatchery-ahead", ahead))
        .transpose()?;
    let mut fds = vec![connection.as_fd()];
    fds.extend(memory.as_ref().map(AsFd::as_fd));
    packet::send(channel, &bytes, &fds, true)
}

/// Whether nobody is at the channel's other end any more.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionRefused | ConnectionReset | NotConnected
    )
}
