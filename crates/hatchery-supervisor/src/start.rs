//! Start and readiness.
//!
//! Policy table, *start order*: agent ready, then workers; all ready, then everyone is told. At the
//! first start a failure ends the master with the reason. *ready*: an explicit message; a time-out
//! is a failure, never a success.

use crate::action::{Action, Reason, Signal, State};
use crate::event::ExitStatus;
use crate::ids::{InstanceId, Role, Slot};
use crate::slot::{Purpose, SlotState};
use crate::stop::Ending;
use crate::supervisor::{Life, Supervisor};

impl Supervisor {
    /// The first event: starts the agent.
    pub(crate) fn start(&mut self) {
        if self.life != Life::New {
            return;
        }
        self.life = Life::Starting;
        for slot in (0..self.wanted).map(Slot) {
            self.slots.insert(slot, SlotState::new(self.generation));
        }
        self.start_agent();
    }

    /// Numbers instances from here on: processes of a former master live that have lower ones.
    pub fn number_from(&mut self, first: InstanceId) {
        self.next_instance = self.next_instance.max(first.0);
    }

    /// Before the pool is up: all workers as soon as the agent is ready, and everyone told as soon
    /// as all are.
    pub(crate) fn step_start(&mut self) {
        if self.life != Life::Starting || self.state_of(self.agent.current) != State::Ready {
            return;
        }
        let empty: Vec<Slot> = self
            .wanted_slots()
            .filter(|(_, state)| state.current.is_none() && state.incoming.is_none())
            .map(|(slot, _)| slot)
            .collect();
        for slot in empty {
            self.start_incoming(slot, self.generation, Purpose::Fill);
        }
        if self.is_whole() {
            self.life = Life::Up;
            self.changes += 1;
        }
    }

    /// Tells every ready instance once that the pool is up.
    pub(crate) fn tell_ready(&mut self) {
        if self.life != Life::Up {
            return;
        }
        let Self {
            instances, actions, ..
        } = self;
        for instance in instances.values_mut() {
            let serves = matches!(instance.state, State::Ready | State::Suspect);
            if serves && !instance.told_ready {
                instance.told_ready = true;
                actions.push_back(Action::ServerDidReady {
                    instance: instance.id,
                });
            }
        }
    }

    /// The instance says *ready*. A second time, or when it was already asked to go, it means
    /// nothing.
    pub(crate) fn ready(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        if instance.state != State::Starting {
            return;
        }
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.silent_since = now;
            instance.limit_at = None;
            instance.detail = None;
        }
        self.begin_service(id);
        self.move_to(id, State::Ready, None);
    }

    /// From now on its health and, if it is a worker, its lifetime count.
    pub(crate) fn begin_service(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let (role, policy) = (instance.role, self.policy_of(instance.generation));
        let (lifetime, percent) = (policy.lifetime, policy.lifetime_jitter_percent);
        let ages = matches!(role, Role::Worker(_)) && !lifetime.is_zero();
        let lifetime_at = ages.then(|| self.now + self.rng.jitter(lifetime, percent));
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.ready_at = Some(now);
            instance.proved_from = Some(now);
            instance.lifetime_at = lifetime_at;
        }
    }

    /// The instance tells why it cannot start. It exits by itself; if not, it is killed soon.
    pub(crate) fn boot_failed(&mut self, id: InstanceId, reason: String) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        if instance.state != State::Starting {
            return;
        }
        let kill_at = self.now + self.policy_of(instance.generation).abort_grace;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.detail = Some(reason);
            instance.limit_at = instance.limit_at.map(|at| at.min(kill_at));
        }
    }

    /// The ready time-out has passed.
    pub(crate) fn not_ready(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let limit = self.policy_of(instance.generation).ready_timeout;
        self.give_up(id, Signal::Kill, format!("not ready within {limit:?}"));
    }

    /// A starting instance will not be ready any more: ends it. The slot does not wait until the
    /// process is gone.
    pub(crate) fn give_up(&mut self, id: InstanceId, signal: Signal, why: String) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        let role = instance.role;
        instance.detail.get_or_insert(why);
        self.end_by(id, signal, Reason::Boot);
        if self.is_ending() || self.fail_start_of(id) {
            return;
        }
        if let Role::Worker(slot) = role {
            self.incoming_failed(slot, id);
            if self.slots.contains_key(&slot) && !self.is_retired(slot, id) {
                self.retire(slot, id);
            }
        } else {
            self.fail_reload_of(id);
        }
    }

    fn is_retired(&self, slot: Slot, id: InstanceId) -> bool {
        self.slots
            .get(&slot)
            .is_some_and(|state| state.retired.contains(&id))
    }

    /// A worker that was to serve has failed to become ready.
    pub(crate) fn incoming_failed(&mut self, slot: Slot, id: InstanceId) {
        let of_reload = self.fail_reload_of(id);
        if let Some(state) = self.slots.get_mut(&slot)
            && state.incoming_id() == Some(id)
        {
            state.incoming = None;
            self.changes += 1;
        }
        if !of_reload {
            self.count_crash(slot, id);
            self.fail_scale_of(slot, id);
            self.fail_roll_back(id);
        }
    }

    /// During the first start any failure ends everything. Tells whether it was one.
    pub(crate) fn fail_start_of(&mut self, id: InstanceId) -> bool {
        if self.life != Life::Starting {
            return false;
        }
        let reason = self.describe_failure(id, None);
        self.fail_start(reason);
        true
    }

    pub(crate) fn fail_start(&mut self, reason: String) {
        self.life = Life::Ending(Ending::Failed(reason));
        self.changes += 1;
        self.refuse_all_commands("the start failed");
        let alive: Vec<InstanceId> = self.instances.keys().copied().collect();
        for id in alive {
            if self.state_of(Some(id)) != State::Stopping {
                self.kill(id, Reason::Stop);
            }
        }
    }

    /// One line about an instance that failed: its role, and its own words or how it ended.
    pub(crate) fn describe_failure(&self, id: InstanceId, status: Option<ExitStatus>) -> String {
        let Some(instance) = self.instances.get(&id) else {
            return format!("instance {id} failed");
        };
        let role = instance.role;
        let stage = if instance.ready_at.is_some() {
            "failed"
        } else {
            "did not start"
        };
        match (&instance.detail, status) {
            (Some(detail), _) => format!("{role} {stage}: {detail}"),
            (None, Some(status)) => format!("{role} {stage}: {status}"),
            (None, None) => format!("{role} {stage}"),
        }
    }
}
