//! Planned replacement of one worker, for memory or for age: start, ready, drain the old.
//!
//! Policy table, *lifetime*: 1 h ± 10 % jitter; at most one recycle at a time, at least 60 s
//! between recycles caused by lifetime. Memory comes before lifetime, waits for no spacing and is
//! allowed in a pool that is not whole.

use serde::{Deserialize, Serialize};

use crate::action::{Reason, State};
use crate::ids::{InstanceId, Slot};
use crate::slot::Purpose;
use crate::supervisor::Supervisor;

/// The recycle under way, until the new one is ready and the old one drains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recycle {
    slot: Slot,
    old: InstanceId,
    reason: Reason,
    /// To give back memory: the old one goes before the new one comes.
    #[serde(default)]
    shrinks: bool,
}

impl Supervisor {
    /// Brings the recycle under way forward, or finds the next one.
    pub(crate) fn step_recycle(&mut self) {
        if self.reload_is_under_way() {
            return;
        }
        if self.recycle.as_ref().is_some_and(|recycle| {
            self.slots
                .get(&recycle.slot)
                .and_then(|state| state.current)
                != Some(recycle.old)
        }) {
            self.recycle = None; // done, or the old one is gone by itself
            self.changes += 1;
        }
        if self.recycle.is_none() {
            self.choose_recycle();
        }
        self.start_replacement();
    }

    fn choose_recycle(&mut self) {
        let (slot, old, reason, shrinks) = if let Some((slot, old)) = self.memory_candidate() {
            (slot, old, Reason::Memory, false)
        } else if let Some((slot, old)) = self.shrink_candidate() {
            (slot, old, Reason::Memory, true)
        } else if let Some((slot, old)) = self.lifetime_candidate() {
            self.last_lifetime_recycle = Some(self.now);
            (slot, old, Reason::Lifetime, false)
        } else {
            return;
        };
        self.recycle = Some(Recycle {
            slot,
            old,
            reason,
            shrinks,
        });
        self.changes += 1;
    }

    /// The oldest worker whose time is up, when nothing else is going on.
    fn lifetime_candidate(&mut self) -> Option<(Slot, InstanceId)> {
        if self.may_not_grow() {
            return None;
        }
        let (lifetime_at, slot, id) = self
            .wanted_slots()
            .filter_map(|(slot, state)| {
                let instance = self.instances.get(&state.current?)?;
                Some((instance.lifetime_at?, slot, instance.id))
            })
            .min()?;
        let spaced_at = self
            .last_lifetime_recycle
            .map_or(lifetime_at, |last| last + self.policy.lifetime_spacing);
        let due_at = lifetime_at.max(spaced_at);
        if due_at > self.now {
            self.wake_at(due_at);
            return None;
        }
        let quiet = self.scale.is_none()
            && self.is_whole()
            && self
                .wanted_slots()
                .all(|(_, state)| state.incoming.is_none());
        quiet.then_some((slot, id))
    }

    /// Starts the replacement, again and again with back-off while the old one serves on.
    fn start_replacement(&mut self) {
        let Some(Recycle {
            slot,
            reason,
            shrinks,
            ..
        }) = self.recycle
        else {
            return;
        };
        let Some(state) = self.slots.get(&slot) else {
            return;
        };
        if state.incoming.is_some() || self.state_of(state.current) != State::Ready {
            return; // under way, or the rule for suspects takes care of the slot
        }
        if shrinks {
            self.shrink(slot);
        } else if reason == Reason::Lifetime && self.may_not_grow() {
            self.recycle = None; // memory has become short meanwhile
            self.changes += 1;
        } else if self.must_stop_first(slot) {
            let heir = reason == Reason::Memory;
            if let Some(state) = self.slots.get_mut(&slot) {
                state.memory_heir = heir;
            }
            self.stop_first(slot, reason);
        } else if self.may_restart(slot) {
            let generation = self.slots[&slot].generation;
            self.start_incoming(slot, generation, Purpose::Recycle);
        }
    }

    /// Stops the slot's worker to give back its memory, if every other slot is still served.
    fn shrink(&mut self, slot: Slot) {
        self.recycle = None;
        self.changes += 1;
        if !self.may_stop_first(slot) {
            return;
        }
        self.pressure.shrunk_at = Some(self.now);
        let fattest = self.slots.get(&slot).and_then(|state| state.current);
        if let Some(fattest) = fattest.and_then(|id| self.instances.get_mut(&id)) {
            fattest.detail = Some("the fattest while memory is short".to_owned());
        }
        self.stop_first(slot, Reason::Memory);
    }

    /// Gives the recycle up: its replacement is sent away, the old one serves on.
    pub(crate) fn cancel_recycle(&mut self, reason: Reason) {
        let Some(recycle) = self.recycle.take() else {
            return;
        };
        let incoming = self
            .slots
            .get(&recycle.slot)
            .and_then(|state| state.incoming);
        if let Some((id, Purpose::Recycle)) = incoming {
            self.retire(recycle.slot, id);
            self.send_away(id, reason, true);
        }
    }

    /// Why a slot's worker is replaced by one that was started for `purpose`.
    pub(crate) fn replace_reason(&mut self, slot: Slot, purpose: Purpose) -> Reason {
        match (purpose, &self.recycle) {
            (Purpose::Recycle, Some(recycle)) if recycle.slot == slot => {
                let reason = recycle.reason;
                if reason == Reason::Memory {
                    self.make_heir(slot);
                }
                reason
            }
            (Purpose::Reload | Purpose::RollBack, _) => Reason::Reload,
            _ => Reason::Hang,
        }
    }

    fn make_heir(&mut self, slot: Slot) {
        let heir = self
            .slots
            .get(&slot)
            .and_then(crate::slot::SlotState::incoming_id);
        if let Some(heir) = heir.and_then(|id| self.instances.get_mut(&id)) {
            heir.memory_heir = true;
        }
    }
}
