//! What can be seen from outside, for `status` and for tests.

use crate::action::{Alarm, Phase, State};
use crate::ids::{Generation, InstanceId, Role, Slot};
use crate::instance::Instance;
use crate::policy::Policy;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// The state of the pool.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The promoted generation.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The rules' numbers, of the promoted generation.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Workers wanted: from the policy, or from the last scale.
    pub const fn workers_wanted(&self) -> u32 {
        self.wanted
    }

    /// Every process that is not reaped yet, oldest first.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// One of them.
    pub fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(&id)
    }

    /// The slots, ascending, including removed ones whose last process is not gone yet.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.slots.keys().copied()
    }

    /// Who serves in this slot.
    pub fn current(&self, slot: Slot) -> Option<&Instance> {
        self.instances.get(&self.slots.get(&slot)?.current?)
    }

    /// Who is to serve next in this slot: a replacement or stand-in that starts, or is ready and
    /// waits for the rest of a reload's batch.
    pub fn incoming(&self, slot: Slot) -> Option<&Instance> {
        self.instances.get(&self.slots.get(&slot)?.incoming_id()?)
    }

    /// Starts of this slot that a crash has caused.
    pub fn restarts(&self, slot: Slot) -> u32 {
        self.slots
            .get(&slot)
            .map_or(0, |state| state.backoff.restarts)
    }

    /// The agent, in whatever state.
    pub fn agent(&self) -> Option<&Instance> {
        self.instances.get(&self.agent.current?)
    }

    /// The spares, in whatever state, oldest first.
    pub fn spares(&self) -> impl Iterator<Item = &Instance> {
        self.instances().filter(|i| i.role == Role::Spare)
    }

    /// Starts of the agent that a crash has caused.
    pub const fn agent_restarts(&self) -> u32 {
        self.agent.backoff.restarts
    }

    /// Slots whose worker is ready.
    pub fn ready_workers(&self) -> u32 {
        let ready = self
            .wanted_slots()
            .filter(|(_, state)| self.state_of(state.current) == State::Ready)
            .count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    /// Whether an [`Upgrade`](crate::Action::Upgrade) waits for its answer and is still wanted.
    pub const fn is_upgrading(&self) -> bool {
        self.upgrade.is_some()
    }

    /// How short memory is, 0 to 4, and the reading that says so; empty at level 0.
    pub fn pressure(&self) -> (u8, &str) {
        (self.pressure.level, &self.pressure.why)
    }

    /// The slots told by the last `Steer`.
    pub fn steered(&self) -> &[Slot] {
        &self.steered
    }

    /// What somebody should look at now.
    pub fn alarms(&self) -> Vec<Alarm> {
        let leaks = self.slots.values().filter_map(|state| state.leak.clone());
        self.budget
            .alarm()
            .into_iter()
            .chain(self.limits_off.iter().cloned())
            .chain(leaks)
            .collect()
    }
}
