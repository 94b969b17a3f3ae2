//! Live connections: who serves those of a worker that drains on.
//!
//! The master only makes the channel between the two and gives each its end; no connection passes
//! through it, and it waits for neither. Who is to be connected with whom follows from the states
//! at any time: a worker that drains gets another heir when the first is gone or drains itself, and
//! a first one as soon as there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use hatchery_ipc::child::{ToChild, Versioned as _};
use hatchery_ipc::events::Event;
use hatchery_ipc::status;
use hatchery_supervisor::{InstanceId, Phase, Role, Slot, State};
use hatchery_sys::packet;
use hatchery_sys::page::StatsPage;
use serde::{Deserialize, Serialize};

use crate::events::event;
use crate::journal::Level;
use crate::master::Master;
use crate::process::Process;

/// Who hands over to whom, and how it went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Handovers {
    /// The heir of each worker that drains.
    heirs: BTreeMap<InstanceId, InstanceId>,
    /// Silent workers that were asked to give away what they have not looked at.
    #[serde(default)]
    rescued: BTreeSet<InstanceId>,
    /// The sibling that was chosen last, so that the next one takes the next.
    last: Option<InstanceId>,
    /// Of the processes that are gone.
    past: status::Handovers,
}

impl Handovers {
    /// Adds what a process that is gone has counted.
    pub(crate) fn add(&mut self, page: &StatsPage) -> status::Handovers {
        let counted = counts(page);
        self.past = sum(self.past, counted);
        counted
    }
}

impl Master {
    /// Gives every worker that drains somebody who serves its clients on, where there is one.
    pub(crate) fn connect_heirs(&mut self) {
        if self.supervisor.phase() == Phase::Stopping {
            return;
        }
        let orphaned: Vec<InstanceId> = self
            .supervisor
            .instances()
            .filter(|instance| instance.state == State::Draining)
            .map(|instance| instance.id)
            .filter(|id| {
                let heir = self.handovers.heirs.get(id);
                heir.is_none_or(|heir| self.state_of(*heir) != Some(State::Ready))
            })
            .collect();
        for id in orphaned {
            self.hand_over(id);
        }
        self.rescue_clients();
    }

    /// Has every silent worker's control thread, which is not blocked, give away the connections
    /// that the worker has accepted and not looked at: once a silence, as soon as somebody is there
    /// who can take them.
    fn rescue_clients(&mut self) {
        let silent: BTreeSet<InstanceId> = self
            .supervisor
            .instances()
            .filter(|instance| instance.state == State::Suspect)
            .map(|instance| instance.id)
            .collect();
        self.handovers.rescued.retain(|id| silent.contains(id));
        for id in silent {
            if self.handovers.rescued.contains(&id) {
                continue;
            }
            let Some(heir) = self.heir_of(id) else {
                continue;
            };
            self.handovers.rescued.insert(id);
            self.handovers.last = Some(heir);
            if let Err(error) = self.connect(id, heir, &ToChild::Rescue) {
                let text = format!("{id} cannot give its new connections to {heir}: {error}");
                self.log(Level::Warn, &text);
            }
        }
    }

    /// Connects a worker that is about to drain, or does already, with its heir. Without one its
    /// clients are told with their next response.
    pub(crate) fn hand_over(&mut self, old: InstanceId) {
        let Some(heir) = self.heir_of(old) else {
            return;
        };
        // Noted even if it fails, so that a child that cannot be told is asked once.
        self.handovers.heirs.insert(old, heir);
        self.handovers.last = Some(heir);
        if let Err(error) = self.connect(old, heir, &ToChild::HandOver) {
            let text = format!("{old} cannot hand its connections to {heir}: {error}");
            self.log(Level::Warn, &text);
        }
    }

    /// The heir first: an old worker whose channel has no other end would take back what it sends.
    fn connect(&self, old: InstanceId, heir: InstanceId, how: &ToChild) -> io::Result<()> {
        let Some(old) = self.processes.get(&old) else {
            return Ok(());
        };
        let channel = self.open_channel(heir)?;
        old.tell(how, &[channel.as_fd()])
    }

    /// A channel out of which `heir` takes connections: the other end.
    pub(crate) fn open_channel(&self, heir: InstanceId) -> io::Result<OwnedFd> {
        let (give, take) = packet::pair()?;
        let heir = self.processes.get(&heir).ok_or(io::ErrorKind::NotFound)?;
        heir.tell(&ToChild::Inherit, &[take.as_fd()])?;
        Ok(give)
    }

    fn heir_of(&self, old: InstanceId) -> Option<InstanceId> {
        let slot = self.supervisor.instance(old)?.role.slot()?;
        let process = self.processes.get(&old)?;
        if !speaks_of_handovers(process.protocol) {
            return None;
        }
        self.heir_for(slot).filter(|heir| *heir != old)
    }

    /// Who takes the connections of the slot's former worker: its present one; otherwise any, in
    /// turn. Nobody in a stop.
    pub(crate) fn heir_for(&self, slot: Slot) -> Option<InstanceId> {
        if self.supervisor.phase() == Phase::Stopping {
            return None;
        }
        let is_able = |id: &InstanceId| {
            self.state_of(*id) == Some(State::Ready)
                && self
                    .processes
                    .get(id)
                    .is_some_and(|process| speaks_of_handovers(process.protocol))
        };
        let current = self.supervisor.current(slot).map(|instance| instance.id);
        current.filter(is_able).or_else(|| {
            let able = |after: bool| {
                self.supervisor
                    .instances()
                    .filter(|instance| matches!(instance.role, Role::Worker(_)))
                    .map(|instance| instance.id)
                    .filter(move |id| (Some(*id) > self.handovers.last) == after)
                    .filter(is_able)
            };
            able(true).chain(able(false)).next()
        })
    }

    /// Books what a process that is gone has handed over, and says so.
    pub(crate) fn book_handovers(&mut self, process: &Process) {
        let counted = self.handovers.add(&process.page);
        let Some(heir) = self.handovers.heirs.remove(&process.id) else {
            return;
        };
        let status::Handovers {
            handed, refused, ..
        } = counted;
        if handed.saturating_add(refused) > 0 {
            let who = format!("{} {}", process.role, process.id);
            let connections = if handed == 1 {
                "connection"
            } else {
                "connections"
            };
            let text = format!("{who} handed {handed} {connections} to {heir}");
            let (level, text) = if refused == 0 {
                (Level::Info, text)
            } else {
                (
                    Level::Warn,
                    format!("{text}; {refused} were not taken and stayed"),
                )
            };
            let event = Event {
                instance: Some(process.id.0),
                pid: Some(process.pid),
                slot: process.role.slot().map(|slot| slot.0),
                generation: Some(process.generation.0),
                ..event("handover", text)
            };
            self.announce(level, event);
        }
    }

    /// All hand-overs since the master's start.
    pub(crate) fn handover_totals(&self) -> status::Handovers {
        let living = self.processes.values().map(|process| counts(&process.page));
        living.fold(self.handovers.past, sum)
    }
}

/// Whether a child of this protocol understands the messages of a hand-over.
pub(crate) fn speaks_of_handovers(protocol: u8) -> bool {
    protocol >= ToChild::HandOver.since()
}

fn counts(page: &StatsPage) -> status::Handovers {
    status::Handovers {
        handed: page.handed_total(),
        refused: page.returned_total(),
        fallen_back: page.fallen_back_total(),
    }
}

/// A page holds whatever its child has written.
fn sum(one: status::Handovers, other: status::Handovers) -> status::Handovers {
    status::Handovers {
        handed: one.handed.saturating_add(other.handed),
        refused: one.refused.saturating_add(other.refused),
        fallen_back: one.fallen_back.saturating_add(other.fallen_back),
    }
}
