//! The agent: one at most, ever.
//!
//! Policy table, *agent death*: replaced with the same back-off as a slot; traffic never stops for
//! it. Because there are never two, it is replaced only after the old one is reaped.

use serde::{Deserialize, Serialize};

use crate::action::{Reason, State};
use crate::crash::Backoff;
use crate::ids::{Generation, InstanceId, Role};
use crate::supervisor::{Life, Supervisor};

/// What is known about the agent's place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AgentState {
    /// The agent, in whatever state, until it is reaped.
    pub(crate) current: Option<InstanceId>,
    /// What it should run; one of another generation is replaced.
    pub(crate) generation: Generation,
    /// Failures in a row and the pause after them; not part of the pool's budget.
    #[serde(default)]
    pub(crate) backoff: Backoff,
}

impl Supervisor {
    pub(crate) fn start_agent(&mut self) {
        debug_assert!(self.agent.current.is_none(), "never two agents");
        let id = self.spawn(Role::Agent, self.agent.generation);
        self.agent.current = Some(id);
    }

    /// Keeps one agent of the right generation.
    pub(crate) fn step_agent(&mut self) {
        if self.life != Life::Up {
            return;
        }
        if let Some(id) = self.agent.current {
            if !self.runs(Some(id), self.agent.generation) {
                self.send_away(id, Reason::Reload, true);
            }
            return;
        }
        match self.agent.backoff.retry_at {
            Some(retry_at) if retry_at > self.now => self.wake_at(retry_at),
            _ => self.start_agent(),
        }
    }

    /// From now on the agent runs this generation.
    pub(crate) fn set_agent_generation(&mut self, generation: Generation) {
        if self.agent.generation != generation {
            self.agent.generation = generation;
            self.agent.backoff.retry_at = None;
            self.changes += 1;
        }
    }

    /// Whether the right agent is there and ready.
    pub(crate) fn agent_is_whole(&self) -> bool {
        self.state_of(self.agent.current) == State::Ready
            && self.runs(self.agent.current, self.agent.generation)
    }

    pub(crate) fn agent_gone(&mut self, id: InstanceId, unasked: bool) {
        if self.agent.current != Some(id) {
            return;
        }
        self.agent.current = None;
        let Some(agent) = self.instances.get(&id) else {
            return;
        };
        let healthy = agent.ready_for(self.policy.healthy_after, self.now);
        if !agent.has_failed(healthy, unasked) || self.fail_reload_of(id) {
            return;
        }
        let backoff = &mut self.agent.backoff;
        if healthy {
            backoff.failures = 0;
        }
        let delay = backoff.fail(&self.policy, &mut self.rng, self.now);
        backoff.restarts = backoff.restarts.saturating_add(1);
        let failures = backoff.failures;
        self.tell_backoff(Role::Agent, failures, delay);
        self.fail_roll_back(id);
    }
}
