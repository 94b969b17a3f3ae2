//! Room for a replacement, and what is done without: stop before start.
//!
//! Policy table, *headroom*: a replacement that starts before its predecessor stops needs the memory
//! of one more worker. Where less than 1.2 times the median worker is left, replacements come one
//! at a time and the old one goes first, as long as every other slot is served; with a single
//! worker it never does.

use crate::action::{Action, Reason, Report, State};
use crate::ids::{InstanceId, Slot};
use crate::supervisor::Supervisor;

/// Room that a new worker needs, in tenths of the median worker's memory.
const ROOM_TENTHS: u64 = 12;

impl Supervisor {
    /// Workers that could be started beside those there are; `None` when nobody can tell.
    fn room(&self) -> Option<u64> {
        let available_bytes = self.pressure.available_bytes?;
        let needed_bytes = self.room_needed()?;
        Some(available_bytes / needed_bytes.max(1))
    }

    /// Bytes that one more worker needs; `None` before any was measured.
    fn room_needed(&self) -> Option<u64> {
        let mut sizes: Vec<u64> = self
            .wanted_slots()
            .filter_map(|(_, state)| self.instances.get(&state.current?))
            .map(|worker| worker.memory_bytes)
            .filter(|bytes| *bytes > 0)
            .collect();
        sizes.sort_unstable();
        let median = sizes.get(sizes.len() / 2)?;
        Some(median.saturating_mul(ROOM_TENTHS) / 10)
    }

    /// Whether one more worker would fit, as far as anybody can tell.
    pub(crate) fn has_room(&self) -> bool {
        self.room().is_none_or(|workers| workers >= 1)
    }

    /// As many of these replacements at once as there is room for; at least one.
    pub(crate) fn fit(&self, replacements: usize) -> usize {
        let room = self.room().unwrap_or(u64::MAX).max(1);
        replacements.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Whether the slot's worker could go before its successor comes: every other slot is served.
    pub(crate) fn may_stop_first(&self, slot: Slot) -> bool {
        let ready = |id: Option<InstanceId>| id.is_some_and(|id| self.is_ready(id));
        let served = self.wanted_slots().all(|(_, state)| ready(state.current));
        self.wanted > 1 && served && slot.0 < self.wanted
    }

    /// Whether the slot's worker has to go before its successor comes, and may.
    pub(crate) fn must_stop_first(&self, slot: Slot) -> bool {
        !self.has_room() && self.may_stop_first(slot)
    }

    /// Sends the slot's worker away; its successor comes when it is gone. It takes what waits in
    /// its listener's queue first, because nobody else would for a while.
    pub(crate) fn stop_first(&mut self, slot: Slot, reason: Reason) {
        let Some(old) = self.slots.get(&slot).and_then(|state| state.current) else {
            return;
        };
        self.tell_no_room();
        self.forgive_failures(slot, old);
        self.retire(slot, old);
        if let Some(state) = self.slots.get_mut(&slot) {
            state.waits_for = Some(old);
        }
        self.drain(old, reason, false);
    }

    /// Whether the slot is empty until its former worker is gone.
    pub(crate) fn waits(&self, slot: Slot) -> bool {
        let former = self.slots.get(&slot).and_then(|state| state.waits_for);
        self.state_of(former) != State::Exited
    }

    /// Whether some slot's worker went first and nobody has taken its place, nor failed to.
    pub(crate) fn is_refilling(&self) -> bool {
        self.wanted_slots()
            .any(|(_, state)| state.waits_for.is_some() && state.current.is_none())
    }

    fn tell_no_room(&mut self) {
        let (Some(available_bytes), Some(needed_bytes)) =
            (self.pressure.available_bytes, self.room_needed())
        else {
            return;
        };
        if self.has_room() || std::mem::replace(&mut self.pressure.no_room_told, true) {
            return;
        }
        self.act(Action::Report(Report::NoRoom {
            available_bytes,
            needed_bytes,
        }));
    }
}
