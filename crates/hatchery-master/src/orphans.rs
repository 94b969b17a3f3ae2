//! Processes of a former master that has died without a word.
//!
//! They serve on, and report to this one. Their listeners are taken over, so that the new pool
//! accepts from the same queues beside them. An agent among them goes before this master starts its
//! own: there are never two. The workers go when the pool is up, as in a reload. They are children
//! of somebody else by then: their end is seen by pidfd, and how they ended is not known.

mod ends;
mod gather;
mod keeping;
mod stored;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use hatchery_ipc::child::{PACKET_MAX, ToChild, ToMaster, decode, encode};
use hatchery_ipc::control::Orphan as Report;
use hatchery_ipc::status;
use hatchery_supervisor::{Event, InstanceId, Phase, Slot, Time};
use hatchery_sys::epoll::Interest;
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use hatchery_sys::signals::Signal;
use hatchery_sys::{packet, peer, process};

use crate::handover::speaks_of_handovers;
use crate::journal::Level;
use crate::listeners::Found;
use crate::master::Master;
use crate::token::Token;

pub(crate) use gather::{Early, gather};
pub(crate) use keeping::Keeping;
pub(crate) use stored::take as take_stored;

/// Most orphans at a time: more than a pool has, twice.
const ORPHANS_MAX: usize = 2048;

/// Most messages taken from one orphan at a time.
const MESSAGES_MAX: usize = 64;

/// Beyond its drain's limit, at which it ends itself.
const KILL_DELAY: Duration = Duration::from_secs(1);

/// A child of a former master.
#[derive(Debug)]
pub(crate) struct Orphan {
    report: Report,
    pid: u32,
    /// Opened while the process was known to live, so it is this process for ever.
    pidfd: OwnedFd,
    /// SEQPACKET, never waited for.
    messages: OwnedFd,
    page: StatsPage,
    /// What it was doing, where it says so.
    recorder: Option<Recorder>,
    is_killed: bool,
    /// When it is killed, once it drains.
    kill_at: Option<Time>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    all: BTreeMap<u64, Orphan>,
    next_key: u64,
    /// The pool is not started before the agent among them is gone.
    pub(crate) start_waits: bool,
    /// They are to go with this master; otherwise one that cannot start leaves them as they were.
    pub(crate) stop_asked: bool,
}

impl Orphan {
    /// Takes over who reports: `stream` is its connection to the control socket, `fds` what it
    /// sent. Its listeners go to `found`.
    fn take_over(
        report: &Report,
        stream: BorrowedFd<'_>,
        fds: Vec<OwnedFd>,
        found: &mut Found,
    ) -> Result<Self, String> {
        let error = |error: io::Error| error.to_string();
        let mut fds = fds.into_iter();
        let (Some(messages), Some(page)) = (fds.next(), fds.next()) else {
            return Err("it brings no socket or no page".into());
        };
        let pid = peer::credentials(stream).map_err(error)?.pid;
        let pidfd = peer::pidfd_open(pid).map_err(error)?;
        loop {
            let mut buffer = [0; PACKET_MAX];
            let received = packet::receive(&messages, &mut buffer, true).map_err(error)?;
            let packet = received.ok_or("it is gone")?;
            let message = decode(&buffer[..packet.len]).map_err(|error| error.to_string())?;
            let ToMaster::Kept { listeners, more } = message else {
                return Err(format!("it begins with {message:?}"));
            };
            for (kept, socket) in listeners.into_iter().zip(packet.fds) {
                found.add(kept, socket);
            }
            if !more {
                break;
            }
        }
        // It alone has the other end: as that is open, the number has been its own throughout.
        let nothing = packet::receive(&messages, &mut [0; PACKET_MAX], true);
        if !matches!(&nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return Err("it is gone".into());
        }
        Ok(Self {
            report: report.clone(),
            pid,
            pidfd,
            messages,
            page: StatsPage::map(page).map_err(error)?,
            recorder: fds.next().and_then(|fd| Recorder::map(fd).ok()),
            is_killed: false,
            kill_at: None,
        })
    }

    fn is_agent(&self) -> bool {
        self.report.role == "agent"
    }

    /// Whether it accepts connections.
    fn serves(&self) -> bool {
        !self.report.draining
    }

    fn tell(&self, message: &ToChild, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let packet = encode(message, self.report.protocol).map_err(io::Error::other)?;
        packet::send(&self.messages, &packet, fds, true)
    }

    fn kill(&mut self) {
        self.is_killed = true;
        if peer::wait_gone(&self.pidfd, Duration::ZERO).is_ok_and(|gone| !gone) {
            // It lives, so the group's number is still its own.
            let _ = process::kill_group(self.pid, Signal::Kill);
        }
        let _ = process::signal(&self.pidfd, Signal::Kill);
    }

    /// As the log names it.
    fn name(&self) -> String {
        let Report {
            role,
            slot,
            instance,
            ..
        } = &self.report;
        let slot = slot.map(|slot| format!(" {slot}")).unwrap_or_default();
        format!(
            "{role}{slot} #{instance} pid {} of the former master",
            self.pid
        )
    }
}

impl Orphans {
    pub(crate) fn new(orphans: Vec<Orphan>) -> Self {
        let mut all = Self::default();
        for orphan in orphans {
            all.insert(orphan);
        }
        all
    }

    fn insert(&mut self, orphan: Orphan) -> u64 {
        // Who reports again has given up its former socket.
        self.all.retain(|_, other| other.pid != orphan.pid);
        let key = self.next_key;
        self.next_key += 1;
        self.all.insert(key, orphan);
        key
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The first number that no orphan has.
    pub(crate) fn next_instance(&self) -> InstanceId {
        let numbers = self.all.values().map(|orphan| orphan.report.instance);
        InstanceId(numbers.max().map_or(1, |last| last.saturating_add(1)))
    }

    /// The slots that they accept for.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        let serving = self.all.values().filter(|orphan| orphan.serves());
        serving.filter_map(|orphan| orphan.report.slot)
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.all.values().filter_map(|orphan| orphan.kill_at).min()
    }

    pub(crate) fn status(&self) -> Vec<status::Orphan> {
        let describe = |orphan: &Orphan| status::Orphan {
            pid: orphan.pid,
            role: orphan.report.role.clone(),
            slot: orphan.report.slot,
            state: if orphan.serves() { "ready" } else { "draining" }.into(),
        };
        self.all.values().map(describe).collect()
    }

    fn keys(&self, mut which: impl FnMut(&Orphan) -> bool) -> Vec<u64> {
        let these = self.all.iter().filter(|(_, orphan)| which(orphan));
        these.map(|(key, _)| *key).collect()
    }
}

impl Master {
    /// Starts the pool: at once, or when an agent of the former master is gone.
    pub(crate) fn begin(&mut self) {
        self.supervisor.number_from(self.orphans.next_instance());
        for key in self.orphans.keys(|_| true) {
            self.watch_orphan(key);
        }
        let agents = self.orphans.keys(Orphan::is_agent);
        self.orphans.start_waits = !agents.is_empty();
        for key in agents {
            self.drain_orphan(key, true);
        }
        if !self.orphans.start_waits {
            self.tell(Event::Start);
        }
    }

    /// Somebody reports while the loop runs: it has stood still for long, or it was the child of
    /// this very process before it changed its image.
    pub(crate) fn orphan_reports(&mut self, client: u64, report: &Report) {
        let fds = self.control.take_fds(client);
        let Some(stream) = self.control.client(client) else {
            return;
        };
        if self.orphans.all.len() >= ORPHANS_MAX {
            return;
        }
        match Orphan::take_over(report, stream, fds, &mut Found::default()) {
            Ok(orphan) => {
                let key = self.orphans.insert(orphan);
                self.watch_orphan(key);
                self.place_late(key);
            }
            Err(error) => self.log(
                Level::Warn,
                &format!("an orphaned {} reports in vain: {error}", report.role),
            ),
        }
    }

    fn place_late(&mut self, key: u64) {
        let phase = self.supervisor.phase();
        let is_agent = self.orphans.all.get(&key).is_some_and(Orphan::is_agent);
        if is_agent && !self.orphans.start_waits {
            // There is another by now.
            if let Some(orphan) = self.orphans.all.get_mut(&key) {
                orphan.kill();
            }
        } else if is_agent || phase != Phase::Starting {
            self.drain_orphan(key, phase != Phase::Stopping);
        } else {
            self.steer_again();
        }
    }

    fn watch_orphan(&mut self, key: u64) {
        let Some(orphan) = self.orphans.all.get(&key) else {
            return;
        };
        let state = if orphan.serves() { "ready" } else { "draining" };
        let event = orphan.event(state, "serves on and is taken over");
        let add =
            |fd: BorrowedFd<'_>, token: Token| self.epoll.add(fd, token.to_u64(), Interest::READ);
        let watched = add(orphan.messages.as_fd(), Token::Orphan(key))
            .and_then(|()| add(orphan.pidfd.as_fd(), Token::OrphanGone(key)));
        if let Err(error) = watched {
            // Without a watch nobody would see its end; without its socket it looks on.
            self.log(Level::Error, &format!("cannot watch an orphan: {error}"));
            self.orphans.all.remove(&key);
            return;
        }
        self.announce(Level::Info, event);
    }

    /// Tells it to go.
    fn drain_orphan(&mut self, key: u64, successor: bool) {
        let limit = self.supervisor.policy().drain_timeout;
        let kill_at = self.now + limit + KILL_DELAY;
        let Some(orphan) = self.orphans.all.get_mut(&key) else {
            return;
        };
        if orphan.kill_at.is_some() {
            return;
        }
        orphan.kill_at = Some(kill_at);
        orphan.report.draining = true;
        if successor {
            self.hand_over_orphan(key);
        }
        let Some(orphan) = self.orphans.all.get(&key) else {
            return;
        };
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let drain = ToChild::Drain {
            limit_ms,
            successor,
        };
        if orphan.tell(&drain, &[]).is_err() {
            let _ = process::signal(&orphan.pidfd, Signal::Term);
        }
        let event = orphan.event("draining", "drains");
        self.announce(Level::Info, event);
    }

    /// Its connections go to the slot's own worker.
    fn hand_over_orphan(&self, key: u64) {
        let orphan = self.orphans.all.get(&key);
        let able = orphan.filter(|orphan| speaks_of_handovers(orphan.report.protocol));
        if let Some((orphan, slot)) = able.and_then(|orphan| Some((orphan, orphan.report.slot?)))
            && let Some(heir) = self.heir_for(Slot(slot))
            && let Ok(channel) = self.open_channel(heir)
        {
            // If it cannot be told, the heir sees the channel's end.
            let _ = orphan.tell(&ToChild::HandOver, &[channel.as_fd()]);
            // One that hangs does not follow; its control thread can save who was not looked at.
            if let Ok(channel) = self.open_channel(heir) {
                let _ = orphan.tell(&ToChild::Rescue, &[channel.as_fd()]);
            }
        }
    }

    /// The pool is up: nobody is needed beside it.
    pub(crate) fn drain_orphans(&mut self, successor: bool) {
        self.run_dir.is_haunted = false;
        for key in self.orphans.keys(|_| true) {
            self.drain_orphan(key, successor);
        }
        if successor {
            self.steer_again();
        }
    }

    /// A stop was asked for: they go with this master.
    pub(crate) fn stop_orphans(&mut self, fast: bool) {
        self.orphans.stop_asked = true;
        self.drain_orphans(false);
        if fast {
            for orphan in self.orphans.all.values_mut() {
                orphan.kill();
            }
        }
    }

    /// Ends those whose time is over.
    pub(crate) fn kill_late_orphans(&mut self) {
        let now = self.now;
        let mut events = Vec::new();
        for orphan in self.orphans.all.values_mut() {
            if orphan.kill_at.is_some_and(|at| now >= at) {
                orphan.kill();
                orphan.kill_at = Some(now + KILL_DELAY);
                events.push(orphan.event("stopping", "does not end and is killed"));
            }
        }
        for event in events {
            self.announce(Level::Warn, event);
        }
    }

    pub(crate) fn read_orphan(&mut self, key: u64) {
        let Some(orphan) = self.orphans.all.get(&key) else {
            return;
        };
        let mut buffer = [0; PACKET_MAX];
        for _ in 0..MESSAGES_MAX {
            match packet::receive(&orphan.messages, &mut buffer, true) {
                // Nothing that it says changes what is done with it.
                Ok(Some(_)) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => {
                    let _ = self.epoll.delete(&orphan.messages);
                    return;
                }
            }
        }
    }

    pub(crate) fn orphan_gone(&mut self, key: u64) {
        let Some(orphan) = self.orphans.all.remove(&key) else {
            return;
        };
        self.handovers.add(&orphan.page);
        let exit = orphan.exit(self.now);
        let level = if exit.reason == "clean" {
            Level::Info
        } else {
            Level::Error
        };
        let event = orphan.event("exited", &format!("is gone: {}", exit.summary));
        self.announce(level, event);
        self.reports.push(exit);
        if self.orphans.start_waits && self.orphans.keys(Orphan::is_agent).is_empty() {
            self.orphans.start_waits = false;
            self.tell(Event::Start);
        }
        if orphan.serves() {
            self.steer_again();
        }
    }
}
