//! Deadlines of instances, and the master's own sleep.
//!
//! Policy table, *heartbeat*: never punish for the master's own sleep (SIGSTOP, suspend, a starved
//! machine). The shell is woken at least every `heartbeat_interval`; a longer gap is a sleep.

use std::time::Duration;

use crate::action::{Action, Reason, Report, State};
use crate::ids::InstanceId;
use crate::supervisor::Supervisor;
use crate::time::Time;

/// Shortest distance of two ticks, whatever the policy says.
const TICK_MIN: Duration = Duration::from_millis(10);

impl Supervisor {
    /// How often the shell must call, so that a sleep can be told from a quiet time.
    pub(crate) fn tick(&self) -> Duration {
        self.policy.heartbeat_interval.max(TICK_MIN)
    }

    /// Moves all that could punish an instance when the master has not looked for a while.
    pub(crate) fn notice_sleep(&mut self, now: Time) {
        let gap = now.since(self.now);
        if gap <= (self.tick() * 2).max(self.policy.suspect_after / 2) {
            return;
        }
        for instance in self.instances.values_mut() {
            instance.forgive(gap);
        }
        self.act(Action::Report(Report::Slept { gap }));
    }

    /// Asks to be called at this time.
    pub(crate) fn wake_at(&mut self, at: Time) {
        if at > self.now && self.wake.is_none_or(|wake| at < wake) {
            self.wake = Some(at);
        }
    }

    /// Asks to be called at each instance's deadline.
    pub(crate) fn wake_for_instances(&mut self) {
        let next = self
            .instances
            .values()
            .filter_map(|instance| instance.deadline(self.policy_of(instance.generation)))
            .min();
        if let Some(next) = next {
            self.wake_at(next);
        }
    }

    /// Acts on every deadline of an instance that has come.
    pub(crate) fn run_deadlines(&mut self) {
        let due: Vec<(InstanceId, State)> = self
            .instances
            .values()
            .filter(|instance| {
                instance
                    .deadline(self.policy_of(instance.generation))
                    .is_some_and(|at| at <= self.now)
            })
            .map(|instance| (instance.id, instance.state))
            .collect();
        for (id, state) in due {
            if self.state_of(Some(id)) != state {
                continue; // an earlier one of the list has changed it
            }
            match state {
                State::Starting => self.not_ready(id),
                State::Ready => self.suspect(id),
                State::Suspect => self.hang(id),
                State::Draining | State::Stopping => {
                    let reason = self.instances[&id].reason.unwrap_or(Reason::Stop);
                    self.kill(id, reason);
                }
                State::Exited => {}
            }
        }
    }
}
