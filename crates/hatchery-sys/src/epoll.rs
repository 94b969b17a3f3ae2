//! Waiting for many descriptors at once, level-triggered.
//!
//! Kernel traps:
//! - a registration belongs to the open file description, not to the number: closing one of two
//!   duplicates leaves it in place. [`Epoll::delete`] first, close afterwards;
//! - [`Ready::hangup`] comes whether it was asked for or not, and again at each wait, until the
//!   descriptor is deleted: a loop that ignores it spins;
//! - a timeout is whole milliseconds in the kernel. We round up, or the last fraction of a
//!   millisecond before a deadline would be spent in a busy loop.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// The most events that one [`Epoll::wait`] hands over; the rest wait for the next call.
pub const EVENTS_MAX: usize = 128;

/// What to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's flags")]
pub struct Interest {
    /// Data, a connection, or an end of file is there to be read.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// An exceptional condition has come (`POLLPRI`: a pressure trigger fires).
    pub urgent: bool,
    /// Disarm after one event, until [`Epoll::modify`] arms it again.
    pub oneshot: bool,
}

impl Interest {
    /// Wait for reading only, until deleted.
    pub const READ: Self = Self {
        readable: true,
        writable: false,
        urgent: false,
        oneshot: false,
    };
    /// Wait for writing only, until deleted.
    pub const WRITE: Self = Self {
        readable: false,
        writable: true,
        urgent: false,
        oneshot: false,
    };
    /// Wait for either, until deleted.
    pub const READ_WRITE: Self = Self {
        readable: true,
        writable: true,
        urgent: false,
        oneshot: false,
    };
    /// Wait for an exceptional condition only, until deleted.
    pub const URGENT: Self = Self {
        readable: false,
        writable: false,
        urgent: true,
        oneshot: false,
    };

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.readable);
        flags.set(epoll::EventFlags::OUT, self.writable);
        flags.set(epoll::EventFlags::PRI, self.urgent);
        flags.set(epoll::EventFlags::ONESHOT, self.oneshot);
        flags
    }
}

/// One descriptor that became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's flags")]
pub struct Ready {
    /// The token that the descriptor was added with.
    pub token: u64,
    /// Something (or the end) is there to be read.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// What [`Interest::urgent`] waited for.
    pub urgent: bool,
    /// The other side is gone or the descriptor has failed; data may still wait before the end.
    pub hangup: bool,
}

/// An epoll instance. It can itself be waited for (`AsFd`).
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// Makes an instance.
    ///
    /// Fails when the process or the system is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            fd: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        })
    }

    /// Starts waiting for `fd`; its events carry `token`.
    ///
    /// `AlreadyExists` when it is registered already; `PermissionDenied` for regular files, which
    /// are always ready and cannot be waited for.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.fd, fd, data, interest.flags())?)
    }

    /// Changes what a registered `fd` waits for, and its token; arms a one-shot again.
    ///
    /// `NotFound` when it is not registered.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::modify(&self.fd, fd, data, interest.flags())?)
    }

    /// Stops waiting for `fd`. Call it before the descriptor is closed.
    ///
    /// `NotFound` when it is not registered.
    pub fn delete(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Waits until a descriptor is ready or `timeout` is over, and replaces the contents of `ready`.
    ///
    /// `None` waits for ever. An empty `ready` means that the time is over. At most [`EVENTS_MAX`]
    /// events come at once; signals do not end the wait.
    pub fn wait(&self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut buffer = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS_MAX];
        loop {
            let left =
                deadline.map(|at| whole_millis(at.saturating_duration_since(Instant::now())));
            match epoll::wait(&self.fd, buffer.as_mut_slice(), left.as_ref()) {
                Ok((events, _)) => {
                    ready.extend(events.iter().map(|event| from_event(*event)));
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn from_event(event: epoll::Event) -> Ready {
    // The kernel's structure is packed: fields are copied out, never borrowed.
    let (flags, data) = (event.flags, event.data);
    Ready {
        token: data.u64(),
        readable: flags.contains(epoll::EventFlags::IN),
        writable: flags.contains(epoll::EventFlags::OUT),
        urgent: flags.contains(epoll::EventFlags::PRI),
        hangup: flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR),
    }
}

/// Rounds up to whole milliseconds, at most what the kernel's 32-bit argument takes (24 days).
fn whole_millis(left: Duration) -> Timespec {
    let millis = left.as_micros().div_ceil(1000).min(i32::MAX as u128);
    let millis = i64::try_from(millis).unwrap_or(i64::from(i32::MAX));
    Timespec {
        tv_sec: millis / 1000,
        tv_nsec: (millis % 1000) * 1_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    const SOON: Option<Duration> = Some(Duration::from_secs(5));
    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn tells_what_became_ready_and_stops_after_delete() {
        let epoll = Epoll::new().unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let mut ready = Vec::new();
        epoll.add(&near, 7, Interest::READ).unwrap();
        epoll.wait(&mut ready, NOW).unwrap();
        assert!(ready.is_empty());

        far.write_all(b"x").unwrap();
        epoll.wait(&mut ready, SOON).unwrap();
        let event = Ready {
            token: 7,
            readable: true,
            writable: false,
            urgent: false,
            hangup: false,
        };
        assert_eq!(ready, [event]);
        near.read_exact(&mut [0]).unwrap();

        epoll.modify(&near, 8, Interest::READ_WRITE).unwrap();
        epoll.wait(&mut ready, SOON).unwrap();
        assert_eq!(
            ready,
            [Ready {
                token: 8,
                readable: false,
                writable: true,
                urgent: false,
                hangup: false
            }]
        );

        epoll.delete(&near).unwrap();
        far.write_all(b"x").unwrap();
        epoll.wait(&mut ready, NOW).unwrap();
        assert!(ready.is_empty());
        assert_eq!(
            epoll.delete(&near).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_closed_peer_is_a_hangup_at_each_wait() {
        let epoll = Epoll::new().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        epoll.add(&near, 1, Interest::default()).unwrap();
        drop(far);
        let mut ready = Vec::new();
        for _ in 0..2 {
            epoll.wait(&mut ready, SOON).unwrap();
            assert!(ready[0].hangup);
        }
    }

    #[test]
    fn one_shot_fires_once_until_armed_again() {
        let epoll = Epoll::new().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let once = Interest {
            oneshot: true,
            ..Interest::READ
        };
        epoll.add(&near, 1, once).unwrap();
        far.write_all(b"x").unwrap();
        let mut ready = Vec::new();
        epoll.wait(&mut ready, SOON).unwrap();
        assert_eq!(ready.len(), 1);
        epoll.wait(&mut ready, NOW).unwrap();
        assert!(ready.is_empty());
        epoll.modify(&near, 1, once).unwrap();
        epoll.wait(&mut ready, SOON).unwrap();
        assert_eq!(ready.len(), 1);
    }

    #[test]
    fn the_time_is_waited_out_in_whole() {
        let epoll = Epoll::new().unwrap();
        let mut ready = Vec::new();
        let (start, time) = (Instant::now(), Duration::from_micros(15_300));
        epoll.wait(&mut ready, Some(time)).unwrap();
        assert!(start.elapsed() >= time && ready.is_empty());
    }

    #[test]
    fn fractions_of_a_millisecond_round_up() {
        let table = [
            (0, 0, 0),
            (1, 0, 1),
            (1_000, 0, 1),
            (1_001, 0, 2),
            (2_500_000, 2, 500),
        ];
        for (micros, seconds, millis) in table {
            let spec = whole_millis(Duration::from_micros(micros));
            assert_eq!(
                (spec.tv_sec, spec.tv_nsec),
                (seconds, millis * 1_000_000),
                "{micros}"
            );
        }
        let most = whole_millis(Duration::MAX);
        assert_eq!(
            most.tv_sec * 1000 + most.tv_nsec / 1_000_000,
            i64::from(i32::MAX)
        );
    }
}
