//! Hot spares: workers that are booted and take any slot whose worker is gone or suspect.
//!
//! They run the promoted generation, are started when the pool is whole and no reload is under way,
//! and take a slot without waiting for its back-off, for that costs no fork. The pause is made
//! before the next spare instead, so that a pool that fails over and over does not fork faster for
//! having spares.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reason, Report, State};
use crate::crash::Backoff;
use crate::ids::{InstanceId, Role, Slot};
use crate::instance::Instance;
use crate::slot::Purpose;
use crate::supervisor::{Life, Supervisor};
use crate::time::Time;

/// Spares that may exist at once, those on the way out among them, as a multiple of those wanted.
const CROWD_FACTOR: usize = 2;

/// What is known about the spares besides their instances.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Spares {
    /// Failures of spares and slots taken in a row, and the pause after them; not part of the
    /// pool's budget.
    pub(crate) backoff: Backoff,
    /// When the last of them was.
    setback_at: Option<Time>,
}

impl Supervisor {
    /// Keeps as many spares as are wanted, of the promoted generation.
    pub(crate) fn step_spares(&mut self) {
        let wanted = self.spares_wanted();
        let members: Vec<(InstanceId, bool)> = self
            .instances
            .values()
            .filter(|instance| is_member(instance))
            .map(|instance| (instance.id, instance.generation == self.generation))
            .collect();
        let fit = members.iter().filter(|(_, fits)| *fits);
        let kept: Vec<InstanceId> = fit.map(|(id, _)| *id).take(wanted).collect();
        for (id, fits) in members {
            let reason = if fits { Reason::Scale } else { Reason::Reload };
            if !kept.contains(&id) {
                self.send_away(id, reason, true);
            }
        }
        for _ in kept.len()..wanted {
            if !self.may_start_spare(wanted) {
                return;
            }
            self.spawn(Role::Spare, self.generation);
        }
    }

    fn spares_wanted(&self) -> usize {
        if self.may_not_grow() {
            return 0;
        }
        usize::try_from(self.policy.spares.min(crate::scale::WORKERS_MAX)).unwrap_or(0)
    }

    /// Slots come first, and a pool that is probed for its health has no use for spares.
    fn may_start_spare(&mut self, wanted: usize) -> bool {
        if let Some(retry_at) = self.spares.backoff.retry_at
            && retry_at > self.now
        {
            self.wake_at(retry_at);
            return false;
        }
        let crowd = self.instances.values().filter(|i| i.role == Role::Spare);
        crowd.count() < CROWD_FACTOR * wanted
            && self.life == Life::Up
            && self.is_whole()
            && self.has_room()
            && !self.is_probing()
            && !self.reload_is_under_way()
    }

    /// A ready spare for this slot, the oldest first.
    pub(crate) fn spare_for(&self, slot: Slot) -> Option<InstanceId> {
        let generation = self.slots.get(&slot)?.generation;
        self.instances
            .values()
            .find(|spare| {
                spare.role == Role::Spare
                    && spare.generation == generation
                    && self.is_ready(spare.id)
            })
            .map(|spare| spare.id)
    }

    /// Gives the slot to a spare. Its age and its health count from now.
    pub(crate) fn assign(&mut self, slot: Slot, id: InstanceId, purpose: Purpose) {
        let generation = match self.instances.get_mut(&id) {
            Some(spare) => {
                spare.role = Role::Worker(slot);
                spare.generation
            }
            None => return,
        };
        self.begin_service(id);
        self.act(Action::Assign { instance: id, slot });
        self.act(Action::Report(Report::Assigned {
            instance: id,
            slot,
            generation,
        }));
        self.place(slot, id, purpose);
        self.back_off_spares();
    }

    /// A spare is needed in the place of another. The first after a quiet time starts at once.
    fn back_off_spares(&mut self) {
        let before = self.spares.setback_at.replace(self.now);
        if before.is_none_or(|at| self.now >= at + self.policy.healthy_after) {
            self.spares.backoff.failures = 0;
        }
        let Self {
            spares,
            policy,
            rng,
            now,
            ..
        } = self;
        let delay = spares.backoff.fail(policy, rng, *now);
        let failures = spares.backoff.failures;
        self.tell_backoff(Role::Spare, failures, delay);
    }

    /// A spare that ended; it served nobody.
    pub(crate) fn spare_gone(&mut self, id: InstanceId, unasked: bool) {
        let Some(spare) = self.instances.get(&id) else {
            return;
        };
        let healthy = spare.ready_for(self.policy.healthy_after, self.now);
        if !spare.has_failed(healthy, unasked) {
            return;
        }
        self.back_off_spares();
    }

    /// Sends all spares away.
    pub(crate) fn dismiss_spares(&mut self, reason: Reason) {
        let members = self.instances.values().filter(|i| is_member(i));
        let members: Vec<InstanceId> = members.map(|spare| spare.id).collect();
        for id in members {
            self.send_away(id, reason, true);
        }
    }
}

/// Whether it is a spare that is not on its way out.
fn is_member(instance: &Instance) -> bool {
    instance.role == Role::Spare
        && !instance.gone
        && matches!(
            instance.state,
            State::Starting | State::Ready | State::Suspect
        )
}
