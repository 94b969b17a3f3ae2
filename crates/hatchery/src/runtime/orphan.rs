//! A child whose master has died looks for the next one.
//!
//! It goes on serving for the grace, asks every moment whether somebody listens on the control
//! socket again, and brings along what the next master needs: its end of a new socket pair, its
//! stats page, and the listeners that it holds. From then on it is told by the usual messages.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hatchery_ipc::child::{FDS_MAX, Kept, ToMaster, VERSION, encode};
use hatchery_ipc::control::{Orphan, Request, Verb};
use hatchery_sys::{listen, lock, packet};

/// Between two looks for the next master.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// What a child brings to the next master.
#[derive(Debug)]
pub(crate) struct Belongings {
    /// How it introduces itself.
    pub(super) identity: Mutex<Orphan>,
    /// Where the next master will listen; `None` where this one has not said.
    pub(super) control_socket: Option<PathBuf>,
    /// How long it serves on without a master.
    pub(super) grace: Duration,
    pub(super) page: OwnedFd,
    /// Of the flight recorder.
    pub(super) recording: OwnedFd,
    /// Besides the one in use: listeners stay open here when nobody accepts from them.
    pub(super) listeners: Mutex<Vec<(Kept, OwnedFd)>>,
    /// Held by the agent while it lives: the next master finds it by this, whatever it does.
    pub(super) lock: Mutex<Option<OwnedFd>>,
}

impl Belongings {
    /// Takes the lock that says which process is the agent; the error names one that lives.
    ///
    /// A file system without locks is no reason not to start: then only a report tells.
    pub(super) fn claim_agent(&self) -> Result<(), String> {
        let Some(socket) = &self.control_socket else {
            return Ok(());
        };
        match lock::claim(&lock::agent_file(socket)) {
            Ok(lock) => {
                *unpoisoned(&self.lock) = Some(lock);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err("another agent of this application lives still".into())
            }
            Err(_) => Ok(()),
        }
    }

    /// Holds these listeners for the next master, in place of the former.
    pub(super) fn keep(&self, kept: Vec<(Kept, OwnedFd)>) {
        let former = std::mem::replace(&mut *unpoisoned(&self.listeners), kept);
        drop(former);
    }

    /// A spare has been given a slot, and these listeners.
    pub(super) fn serve(&self, slot: u32, addresses: &[String], sockets: &[OwnedFd]) {
        unpoisoned(&self.identity).slot = Some(slot);
        let held = addresses
            .iter()
            .zip(sockets)
            .filter_map(|(address, socket)| {
                let kept = Kept {
                    address: address.clone(),
                    slot,
                    place: None,
                };
                Some((kept, socket.try_clone().ok()?))
            });
        self.keep(held.collect());
    }

    /// Looks for the next master until `deadline`. Returns the socket to it.
    pub(super) fn find_master(&self, deadline: Instant, draining: bool) -> Option<OwnedFd> {
        loop {
            if let Some(path) = &self.control_socket
                && let Ok(socket) = self.report(path, draining)
            {
                return Some(socket);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            thread::sleep(left.min(RETRY));
        }
    }

    /// All at once and without waiting: whoever listens there may stand still.
    fn report(&self, path: &Path, draining: bool) -> io::Result<OwnedFd> {
        let stream = listen::connect_unix(path)?;
        let (ours, theirs) = packet::pair()?;
        self.send_listeners(&ours)?;
        let orphan = Orphan {
            draining,
            ..unpoisoned(&self.identity).clone()
        };
        let request = Request {
            wait: false,
            ..Request::new(Verb::Orphan(orphan))
        };
        let fds = [theirs.as_fd(), self.page.as_fd(), self.recording.as_fd()];
        packet::send(&stream, &request.to_line(), &fds, true)?;
        Ok(ours)
    }

    /// They wait in the pair until the master takes it.
    fn send_listeners(&self, socket: &OwnedFd) -> io::Result<()> {
        let held = unpoisoned(&self.listeners);
        let mut rest = held.as_slice();
        loop {
            let (now, later) = rest.split_at(rest.len().min(FDS_MAX));
            let fds: Vec<BorrowedFd<'_>> = now.iter().map(|(_, fd)| fd.as_fd()).collect();
            let message = ToMaster::Kept {
                listeners: now.iter().map(|(kept, _)| kept.clone()).collect(),
                more: !later.is_empty(),
            };
            let bytes = encode(&message, VERSION).map_err(io::Error::other)?;
            packet::send(socket, &bytes, &fds, true)?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
