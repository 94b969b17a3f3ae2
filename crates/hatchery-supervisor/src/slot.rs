//! A worker's place in the pool and the processes that fill it.

use serde::{Deserialize, Serialize};

use crate::action::{Alarm, State};
use crate::crash::Backoff;
use crate::ids::{Generation, InstanceId, Role, Slot};
use crate::supervisor::Supervisor;
use crate::time::Time;

/// Processes of a slot that may be on their way out at the same time. Beyond it the oldest is
/// killed, so that a pool that hangs or reloads over and over stays bounded.
const RETIRED_MAX: usize = 2;

/// Why a slot's incoming instance was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// The slot has nobody.
    Fill,
    /// The slot's worker is suspect.
    StandIn,
    /// A recycle: memory or lifetime.
    Recycle,
    /// A reload goes forward: takes over with its batch.
    Reload,
    /// A reload that failed is undone.
    RollBack,
}

/// What a slot is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SlotState {
    /// Who serves: was ready and was not asked to leave.
    pub(crate) current: Option<InstanceId>,
    /// Who is to serve next, starting or (in a reload's batch) ready.
    pub(crate) incoming: Option<(InstanceId, Purpose)>,
    /// Who is on the way out, oldest first: draining, stopping, or suspect with a successor.
    #[serde(default)]
    pub(crate) retired: Vec<InstanceId>,
    /// What unplanned starts run: a slot not yet promoted in a reload keeps the old one.
    pub(crate) generation: Generation,
    /// Failures in a row and the pause after them.
    #[serde(default)]
    pub(crate) backoff: Backoff,
    /// The next start is the answer to a crash and counts in the pool's budget.
    #[serde(default)]
    pub(crate) crashed: bool,
    /// Stand-ins sent away one after the other, their suspect having recovered.
    #[serde(default)]
    pub(crate) flaps: u32,
    /// When the last of them was.
    #[serde(default)]
    pub(crate) flapped_at: Time,
    /// When its last instance was started.
    #[serde(default)]
    pub(crate) last_start: Time,
    /// The next instance follows one that was recycled for memory.
    #[serde(default)]
    pub(crate) memory_heir: bool,
    /// The worker that had to go before its successor comes, until that serves. While it is there
    /// the slot is empty.
    pub(crate) waits_for: Option<InstanceId>,
    /// The alarm about its present worker's leak.
    pub(crate) leak: Option<Alarm>,
}

impl SlotState {
    pub(crate) fn new(generation: Generation) -> Self {
        Self {
            current: None,
            incoming: None,
            retired: Vec::new(),
            generation,
            backoff: Backoff::default(),
            crashed: false,
            flaps: 0,
            flapped_at: Time::default(),
            last_start: Time::default(),
            memory_heir: false,
            waits_for: None,
            leak: None,
        }
    }

    pub(crate) fn incoming_id(&self) -> Option<InstanceId> {
        self.incoming.map(|(id, _)| id)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.current.is_none() && self.incoming.is_none() && self.retired.is_empty()
    }
}

impl Supervisor {
    /// The slots that should have a worker, ascending.
    pub(crate) fn wanted_slots(&self) -> impl Iterator<Item = (Slot, &SlotState)> {
        self.slots
            .iter()
            .filter(|(slot, _)| slot.0 < self.wanted)
            .map(|(slot, state)| (*slot, state))
    }

    /// Whether every wanted slot has a ready worker.
    pub(crate) fn is_whole(&self) -> bool {
        self.wanted_slots()
            .all(|(_, slot)| self.state_of(slot.current) == State::Ready)
    }

    /// Starts the slot's next worker.
    pub(crate) fn start_incoming(&mut self, slot: Slot, generation: Generation, purpose: Purpose) {
        let id = self.spawn(Role::Worker(slot), generation);
        self.place(slot, id, purpose);
    }

    /// Makes an instance the slot's next worker.
    pub(crate) fn place(&mut self, slot: Slot, id: InstanceId, purpose: Purpose) {
        let now = self.now;
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        debug_assert!(state.incoming.is_none(), "a slot has one incoming instance");
        state.incoming = Some((id, purpose));
        state.last_start = now;
        let heir = std::mem::take(&mut state.memory_heir);
        let counts = std::mem::take(&mut state.crashed);
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.memory_heir = heir;
        }
        if counts {
            self.count_restart(slot);
        }
        if purpose != Purpose::Reload {
            self.note_probe(id);
        }
    }

    /// A ready incoming instance takes its place: at once, but for a reload's, which waits for its
    /// batch while its predecessor serves.
    pub(crate) fn take_over(&mut self) {
        let ready: Vec<(Slot, Purpose)> = self
            .slots
            .iter()
            .filter_map(|(slot, state)| {
                let (id, purpose) = state.incoming?;
                let waits = purpose == Purpose::Reload
                    && self.state_of(state.current) == State::Ready
                    && self.reload_goes_forward();
                let able = match self.state_of(Some(id)) {
                    State::Ready => !waits && self.is_ready(id),
                    // Better than nobody; it may recover.
                    State::Suspect => state.current.is_none(),
                    _ => false,
                };
                able.then_some((*slot, purpose))
            })
            .collect();
        for (slot, purpose) in ready {
            self.swap(slot, purpose);
        }
    }

    /// Makes the incoming instance the current one and retires the former.
    pub(crate) fn swap(&mut self, slot: Slot, purpose: Purpose) {
        let reason = self.replace_reason(slot, purpose);
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let Some((new, _)) = state.incoming.take() else {
            return;
        };
        let old = state.current.replace(new);
        state.flaps = 0;
        state.leak = None;
        state.waits_for = None;
        self.changes += 1;
        if self.runs(Some(new), self.reload_generation()) {
            self.touch_reload();
        }
        if let Some(old) = old {
            self.forgive_failures(slot, old);
            self.retire(slot, old);
            if self.state_of(Some(old)) == State::Ready {
                self.drain(old, reason, true);
            }
        }
    }

    /// Puts an instance among those on the way out, and bounds their number.
    pub(crate) fn retire(&mut self, slot: Slot, id: InstanceId) {
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        if state.current == Some(id) {
            state.current = None;
            state.leak = None;
        }
        if state.incoming_id() == Some(id) {
            state.incoming = None;
        }
        state.retired.push(id);
        self.changes += 1;
    }

    /// Kills the oldest of a slot that has too many on the way out, those not counted whose end is
    /// a matter of moments anyway.
    pub(crate) fn bound_retired(&mut self) {
        let mut excess: Vec<InstanceId> = Vec::new();
        for (_, state) in self.wanted_slots() {
            let lingers = |id: &&InstanceId| self.state_of(Some(**id)) != State::Stopping;
            let lingering = state.retired.iter().filter(lingers).count();
            let over = lingering.saturating_sub(RETIRED_MAX);
            excess.extend(state.retired.iter().filter(lingers).take(over));
        }
        for id in excess {
            self.kill_once(id);
        }
    }

    /// Finds workers for slots that have nobody, or only a suspect: a spare, or a new process. The slot that waits longest
    /// is first, so that one that always fails cannot hold back the others while the crash budget
    /// lets them start only one at a time.
    pub(crate) fn fill(&mut self) {
        let mut empty: Vec<(Time, Slot, Purpose)> = self
            .wanted_slots()
            .filter(|(_, state)| state.incoming.is_none())
            .filter_map(|(slot, state)| {
                let purpose = match self.state_of(state.current) {
                    State::Ready => return None,
                    State::Suspect if self.may_not_grow() => return None,
                    State::Suspect => Purpose::StandIn,
                    _ => Purpose::Fill,
                };
                Some((state.last_start, slot, purpose))
            })
            .collect();
        empty.sort_unstable_by_key(|(last_start, slot, _)| (*last_start, *slot));
        for (_, slot, purpose) in empty {
            let waits = self.waits(slot);
            let spare = self.spare_for(slot);
            if let Some(spare) = spare.filter(|_| !waits || !self.reload_is_under_way()) {
                self.assign(slot, spare, purpose);
            } else if !waits && self.may_restart(slot) {
                let generation = self.slots[&slot].generation;
                self.start_incoming(slot, generation, purpose);
            }
        }
    }

    /// Drops removed slots whose last process is gone.
    pub(crate) fn drop_empty_slots(&mut self) {
        let wanted = self.wanted;
        self.slots
            .retain(|slot, state| slot.0 < wanted || !state.is_empty());
    }
}
