//! An instance that drains by itself, because somebody sent it SIGTERM.

use crate::action::{Reason, Signal, State};
use crate::ids::{InstanceId, Role};
use crate::supervisor::Supervisor;

impl Supervisor {
    /// Its replacement starts at once. That is no crash; but one that leaves again and again while
    /// young has to wait like a crash, or it would be a fork loop.
    pub(crate) fn leaving(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let (role, state) = (instance.role, instance.state);
        match state {
            State::Ready | State::Suspect => {}
            State::Starting => {
                let why = "told to leave before it was ready";
                self.give_up(id, Signal::Term, why.to_owned());
                return;
            }
            State::Draining | State::Stopping | State::Exited => return,
        }
        let healthy = instance.ready_for(self.policy.healthy_after, self.now);
        let limit_at = self.now + self.policy_of(instance.generation).drain_timeout;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.limit_at = Some(limit_at);
            instance.detail = Some("left by itself".to_owned());
        }
        self.move_to(id, State::Draining, Some(Reason::Clean));
        if self.fail_start_of(id) {
            return;
        }
        self.fail_reload_of(id);
        let Role::Worker(slot) = role else {
            return; // the agent's successor waits until it is reaped
        };
        if self.slots.get(&slot).and_then(|s| s.current) == Some(id) {
            self.forgive_failures(slot, id);
            self.retire(slot, id);
            if !healthy {
                self.back_off(slot);
            }
        }
    }
}
