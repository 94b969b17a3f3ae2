//! Scale: more or fewer slots at run time, through the same start and drain as everything else.
//!
//! Up: new slots start together; the answer comes when all are ready, or when one fails (the
//! target stays, back-off goes on). Down: the highest slots are steered away from and drained.

use serde::{Deserialize, Serialize};

use crate::action::{Reason, State};
use crate::ids::{InstanceId, RequestId, Slot};
use crate::slot::{Purpose, SlotState};
use crate::supervisor::Supervisor;

/// Most workers that a pool may have.
pub(crate) const WORKERS_MAX: u32 = 1024;

/// A scale up under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) request: Option<RequestId>,
    /// Workers before it.
    pub(crate) from: u32,
}

impl Supervisor {
    /// Sets the number of workers wanted.
    pub(crate) fn scale_to(&mut self, request: Option<RequestId>, workers: u32) {
        if workers == 0 || workers > WORKERS_MAX {
            let why = format!("workers must be between 1 and {WORKERS_MAX}, not {workers}");
            self.reply_to(request, Err(why));
            return;
        }
        if let Some(why) = self.growth_refused(workers) {
            if request.is_none() {
                self.pressure.postponed = Some(workers);
            }
            self.reply_to(request, Err(why));
            return;
        }
        self.pressure.postponed = None;
        let from = std::mem::replace(&mut self.wanted, workers);
        self.changes += 1;
        if workers > from {
            self.scale = Some(Scale { request, from });
            for slot in (from..workers).map(Slot) {
                self.open_slot(slot);
            }
            return;
        }
        for slot in (workers..from).map(Slot) {
            self.empty_slot(slot, Reason::Scale);
        }
        self.reply_to(request, Ok(workers_line(workers)));
    }

    fn open_slot(&mut self, slot: Slot) {
        let generation = self.generation;
        let state = self
            .slots
            .entry(slot)
            .or_insert_with(|| SlotState::new(generation));
        // One that was removed a moment ago may still have its last worker on the way out.
        state.generation = generation;
        state.backoff.failures = 0;
        state.backoff.retry_at = None;
        state.crashed = false;
        state.waits_for = None;
        self.start_incoming(slot, generation, Purpose::Fill);
    }

    /// Sends everybody of a slot away, with no successor.
    pub(crate) fn empty_slot(&mut self, slot: Slot, reason: Reason) {
        let Some(state) = self.slots.get(&slot) else {
            return;
        };
        let leaving = [state.current, state.incoming_id()];
        for id in leaving.into_iter().flatten() {
            self.retire(slot, id);
            self.send_away(id, reason, false);
        }
        let suspects = self.slots.get(&slot).map(|s| s.retired.clone());
        for id in suspects.unwrap_or_default() {
            self.send_away(id, reason, false);
        }
    }

    /// Answers a scale up whose slots are all ready.
    pub(crate) fn step_scale(&mut self) {
        let Some(scale) = &self.scale else {
            return;
        };
        let (request, from) = (scale.request, scale.from);
        let ready = self
            .wanted_slots()
            .filter(|(slot, _)| slot.0 >= from)
            .all(|(_, state)| self.state_of(state.current) == State::Ready);
        if ready {
            self.scale = None;
            self.changes += 1;
            self.reply_to(request, Ok(workers_line(self.wanted)));
        }
    }

    /// A new slot's worker failed: the one who asked is told, the slot goes on trying.
    pub(crate) fn fail_scale_of(&mut self, slot: Slot, id: InstanceId) {
        if let Some(scale) = self.scale.take_if(|scale| slot.0 >= scale.from) {
            let why = self.describe_failure(id, None);
            self.changes += 1;
            self.reply_to(scale.request, Err(why));
        }
    }
}

/// "1 worker", "4 workers".
pub(crate) fn workers_line(workers: u32) -> String {
    match workers {
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    }
}
