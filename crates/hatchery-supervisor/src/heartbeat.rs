//! Heartbeats: suspicion, stand-ins, recovery and the hang kill.
//!
//! Policy table, *heartbeat*: 1 s silent is *suspect* (steered around, a stand-in started on the
//! same slot); 10 s silent is a hang: SIGABRT, 2 s, SIGKILL. A suspect that recovers is drained or
//! kept, never killed.

use crate::action::{Reason, State};
use crate::crash;
use crate::ids::{InstanceId, Role, Slot};
use crate::slot::Purpose;
use crate::supervisor::Supervisor;
use crate::time::Time;

impl Supervisor {
    /// Notes that an instance's loops turned. Before deadlines, because it is a fact about the
    /// past that a deadline must not overlook.
    pub(crate) fn note_heartbeat(&mut self, id: InstanceId, at: Time) {
        let at = at.min(self.now);
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        if instance.ready_at.is_none() || instance.last_beat.is_some_and(|last| last >= at) {
            return;
        }
        instance.last_beat = Some(at);
        instance.silent_since = instance.silent_since.max(at);
    }

    /// A suspect that beats again is kept, unless its stand-in serves already.
    pub(crate) fn recover(&mut self, id: InstanceId, at: Time) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let fresh = instance.last_beat.is_some_and(|last| last <= at)
            && at + self.policy_of(instance.generation).suspect_after > self.now;
        if instance.state != State::Suspect || !fresh {
            return;
        }
        let role = instance.role;
        if let Role::Worker(slot) = role
            && !self.reinstate(slot, id)
        {
            self.drain(id, Reason::Hang, true);
            return;
        }
        self.move_to(id, State::Ready, None);
        if let Role::Worker(slot) = role {
            self.dismiss_stand_in(slot, id);
        }
    }

    /// Gives a recovered worker its slot back, if it has lost it and its stand-in does not serve
    /// (any more). Tells whether it has the slot.
    fn reinstate(&mut self, slot: Slot, id: InstanceId) -> bool {
        let Some(state) = self.slots.get(&slot) else {
            return false;
        };
        if !state.retired.contains(&id) {
            return true;
        }
        if slot.0 >= self.wanted || self.is_ending() || self.state_of(state.current) == State::Ready
        {
            return false;
        }
        if let Some(silent) = state.current {
            self.retire(slot, silent);
        }
        if let Some(state) = self.slots.get_mut(&slot) {
            state.retired.retain(|retired| *retired != id);
            state.current = Some(id);
        }
        true
    }

    /// Sends the stand-in of a recovered worker away. One that does so over and over is given its
    /// next stand-in later and later: a fork for each stutter would make it worse.
    fn dismiss_stand_in(&mut self, slot: Slot, recovered: InstanceId) {
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let Some((stand_in, Purpose::StandIn | Purpose::Fill)) = state.incoming else {
            return;
        };
        if state.current != Some(recovered) {
            return;
        }
        if self.now >= state.flapped_at + self.policy.healthy_after {
            state.flaps = 0;
        }
        state.flapped_at = self.now;
        let pause = crash::delay(&self.policy, &mut self.rng, state.flaps);
        state.flaps = state.flaps.saturating_add(1);
        state.backoff.retry_at = Some(self.now + pause);
        self.retire(slot, stand_in);
        self.send_away(stand_in, Reason::Scale, true);
    }

    /// Silent for `suspect_after`.
    pub(crate) fn suspect(&mut self, id: InstanceId) {
        self.move_to(id, State::Suspect, None);
    }

    /// Silent for `hang_timeout`.
    pub(crate) fn hang(&mut self, id: InstanceId) {
        let limit = self
            .instances
            .get(&id)
            .map(|instance| self.policy_of(instance.generation).hang_timeout);
        if let (Some(instance), Some(limit)) = (self.instances.get_mut(&id), limit) {
            instance.detail = Some(format!("silent for {limit:?}"));
        }
        self.abort(id);
        self.fail_start_of(id);
        self.fail_reload_of(id);
    }
}
