//! One process and what the supervisor knows about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reason, Report, State};
use crate::ids::{Generation, InstanceId, Role};
use crate::policy::Policy;
use crate::supervisor::Supervisor;
use crate::time::Time;

/// A process of the pool, from the request to start it until it is reaped.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each notes that one thing has happened, in any combination"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Its number.
    pub id: InstanceId,
    /// What it is there for.
    pub role: Role,
    /// Whose binary and configuration it runs.
    pub generation: Generation,
    /// Where it is in its life; never [`State::Exited`] here, such ones are forgotten.
    pub state: State,
    /// Its process id, once the shell has told it.
    pub pid: Option<u32>,
    /// When its start was asked for.
    pub started_at: Time,
    /// When it said *ready*; for one that was a spare, when it was given its slot.
    pub ready_at: Option<Time>,
    /// The last moment at which its loops were seen to turn.
    pub last_beat: Option<Time>,
    /// Why it ends, where that is our doing.
    pub reason: Option<Reason>,
    /// Its own or the system's last words.
    pub detail: Option<String>,

    /// From when on its silence counts: the last heartbeat, its readiness, or later when the
    /// master slept.
    pub(crate) silent_since: Time,
    /// From when on its readiness counts as proof: later than `ready_at` when the master slept,
    /// because a death in that time may not be known yet.
    pub(crate) proved_from: Option<Time>,
    /// When its present state has lasted too long: ready time-out, drain limit, next kill.
    pub(crate) limit_at: Option<Time>,
    /// When it is old enough to be recycled.
    pub(crate) lifetime_at: Option<Time>,
    /// Consecutive memory samples above the soft limit.
    #[serde(default)]
    pub(crate) over_soft: u32,
    /// What the last reading measured, bytes; 0 before the first.
    #[serde(default)]
    pub(crate) memory_bytes: u64,
    /// Whether it has had a memory sample at all.
    #[serde(default)]
    pub(crate) sampled: bool,
    /// Whether its predecessor was recycled for memory.
    #[serde(default)]
    pub(crate) memory_heir: bool,
    /// Whether its fast leak was told.
    #[serde(default)]
    pub(crate) leak_told: bool,
    /// Whether it was told that the pool is up.
    #[serde(default)]
    pub(crate) told_ready: bool,
    /// Its `Exited` is being handled: nothing may be asked of it any more.
    #[serde(default)]
    pub(crate) gone: bool,
    /// Its `Leaving` is being handled: it serves no longer, whatever its state still says.
    #[serde(default)]
    pub(crate) leaves: bool,
}

impl Instance {
    /// Whether it was ready for at least `age` at `now`.
    pub(crate) fn ready_for(&self, age: Duration, now: Time) -> bool {
        self.ready_at.is_some_and(|ready_at| now >= ready_at + age)
    }

    /// Whether its end counts as a failure of the agent's or a spare's place. A time-out does,
    /// although it was ended by us; and one that leaves by itself over and over must not be a fork
    /// loop.
    pub(crate) const fn has_failed(&self, healthy: bool, unasked: bool) -> bool {
        match self.reason {
            Some(Reason::Boot) => true,
            Some(Reason::Clean) => !healthy,
            _ => unasked,
        }
    }

    /// When its present state needs attention, under `policy`.
    pub(crate) fn deadline(&self, policy: &Policy) -> Option<Time> {
        match self.state {
            _ if self.gone => None,
            State::Ready => Some(self.silent_since + policy.suspect_after),
            State::Suspect => Some(self.silent_since + policy.hang_timeout),
            State::Starting | State::Draining | State::Stopping => self.limit_at,
            State::Exited => None,
        }
    }

    /// Moves everything that could punish it by the time that the master itself slept.
    pub(crate) fn forgive(&mut self, gap: Duration) {
        self.silent_since = self.silent_since + gap;
        self.limit_at = self.limit_at.map(|at| at + gap);
        self.proved_from = self.proved_from.map(|at| at + gap);
    }
}

impl Supervisor {
    /// Asks for a new process.
    pub(crate) fn spawn(&mut self, role: Role, generation: Generation) -> InstanceId {
        let id = InstanceId(self.next_instance);
        self.next_instance += 1;
        let limit_at = self.now + self.policy_of(generation).ready_timeout;
        self.instances.insert(
            id,
            Instance {
                id,
                role,
                generation,
                state: State::Starting,
                pid: None,
                started_at: self.now,
                ready_at: None,
                last_beat: None,
                reason: None,
                detail: None,
                silent_since: self.now,
                proved_from: None,
                limit_at: Some(limit_at),
                lifetime_at: None,
                over_soft: 0,
                memory_bytes: 0,
                sampled: false,
                memory_heir: false,
                leak_told: false,
                told_ready: false,
                gone: false,
                leaves: false,
            },
        );
        self.act(Action::Spawn {
            instance: id,
            role,
            generation,
        });
        id
    }

    /// Changes an instance's state and tells so.
    pub(crate) fn move_to(&mut self, id: InstanceId, to: State, reason: Option<Reason>) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        let from = instance.state;
        if from == to {
            return;
        }
        instance.state = to;
        if reason.is_some() {
            instance.reason = reason;
        }
        let report = Report::Moved {
            instance: id,
            role: instance.role,
            generation: instance.generation,
            from,
            to,
            reason: instance.reason,
        };
        self.act(Action::Report(report));
    }

    /// The state of an instance; [`State::Exited`] for one that is gone.
    pub(crate) fn state_of(&self, id: Option<InstanceId>) -> State {
        id.and_then(|id| self.instances.get(&id))
            .map_or(State::Exited, |instance| instance.state)
    }

    /// Whether an instance is ready and not just known to be gone or to leave: a deadline that
    /// comes in the same moment as a death must not trust the dead.
    pub(crate) fn is_ready(&self, id: InstanceId) -> bool {
        self.instances.get(&id).is_some_and(|instance| {
            instance.state == State::Ready && !instance.gone && !instance.leaves
        })
    }

    /// Whether this is an instance of that generation.
    pub(crate) fn runs(&self, id: Option<InstanceId>, generation: Generation) -> bool {
        id.and_then(|id| self.instances.get(&id))
            .is_some_and(|instance| instance.generation == generation)
    }

    /// The policy that an instance of this generation is measured by: a reload's new ones by the
    /// new configuration, so that a longer ready time-out helps the release that needs it.
    pub(crate) fn policy_of(&self, generation: Generation) -> &Policy {
        match &self.reload {
            Some(reload) if reload.generation == generation => &reload.policy,
            _ => &self.policy,
        }
    }
}
