//! Crashes: back-off of a slot and of the agent, and the pool's crash budget.
//!
//! Policy table, *crash*: the first after a healthy run restarts at once, then 0.1 s × 2^n with a
//! cap of 30 s; beyond 2N restarts in 60 s one probing slot every 30 s and an alarm. While no worker
//! serves at all, both waits are 5 s at most. The master never exits because of workers after a good
//! start.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Alarm, Report, State};
use crate::ids::{InstanceId, Role, Slot};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::supervisor::Supervisor;
use crate::time::Time;

/// Spread of a restart's delay, per cent, so that slots that failed together do not start together.
const JITTER_PERCENT: u32 = 20;

/// Doublings after which the delay no longer grows; 100 ms × 2^20 is over a day.
const DOUBLINGS_MAX: u32 = 20;

/// Failures in a row, and the pause after them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Backoff {
    /// Failures since the last healthy run.
    pub(crate) failures: u32,
    /// No start before this.
    pub(crate) retry_at: Option<Time>,
    /// Restarts after failures, ever; for people.
    pub(crate) restarts: u32,
}

impl Backoff {
    /// Notes one more failure and gives the pause that follows it.
    pub(crate) fn fail(&mut self, policy: &Policy, rng: &mut Rng, now: Time) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let delay = match self.failures {
            1 => Duration::ZERO,
            failures => delay(policy, rng, failures - 2),
        };
        self.retry_at = (!delay.is_zero()).then(|| now + delay);
        delay
    }
}

/// `backoff_initial` × 2^`doublings` with jitter, never more than `backoff_max`.
pub(crate) fn delay(policy: &Policy, rng: &mut Rng, doublings: u32) -> Duration {
    let base = policy
        .backoff_initial
        .saturating_mul(1 << doublings.min(DOUBLINGS_MAX))
        .min(policy.backoff_max);
    rng.jitter(base, JITTER_PERCENT).min(policy.backoff_max)
}

/// The pool's crash budget.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Budget {
    /// Crash restarts inside the window, oldest first; no longer than the budget allows plus the
    /// probes of one window.
    restarts: VecDeque<Time>,
    /// The budget is spent.
    probing: Option<Probing>,
}

/// The mode in which waiting slots start one at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Probing {
    /// Restarts in the window when it began.
    restarts: u32,
    /// When the last probe (or the last restart before the mode) was started.
    last_at: Time,
    /// The last probe.
    last: Option<InstanceId>,
}

impl Budget {
    /// The alarm while the mode lasts.
    pub(crate) fn alarm(&self) -> Option<Alarm> {
        self.probing.as_ref().map(|probing| Alarm::CrashBudget {
            restarts: probing.restarts,
        })
    }
}

impl Supervisor {
    /// An instance's unasked end, or its failure to start, as far as its slot's next start goes.
    pub(crate) fn count_crash(&mut self, slot: Slot, died: InstanceId) {
        self.forgive_failures(slot, died);
        self.back_off(slot);
        let waits = self.waits(slot);
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        if !waits {
            state.waits_for = None;
        }
        if state.current.is_some() || state.incoming.is_some() {
            // Its successor was started before it died.
            self.count_restart(slot);
        } else {
            state.crashed = true;
        }
    }

    /// Notes a failure of the slot and its pause, without a claim on the pool's budget.
    pub(crate) fn back_off(&mut self, slot: Slot) {
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        let delay = state.backoff.fail(&self.policy, &mut self.rng, self.now);
        let failures = state.backoff.failures;
        self.tell_backoff(Role::Worker(slot), failures, delay);
    }

    pub(crate) fn tell_backoff(&mut self, role: Role, failures: u32, delay: Duration) {
        self.changes += 1;
        if !delay.is_zero() {
            self.act(Action::Report(Report::Backoff {
                role,
                failures,
                delay,
            }));
        }
    }

    /// Clears the slot's failures when this instance of it has had a healthy run.
    pub(crate) fn forgive_failures(&mut self, slot: Slot, id: InstanceId) {
        let healthy = self
            .instances
            .get(&id)
            .is_some_and(|instance| instance.ready_for(self.policy.healthy_after, self.now));
        if healthy && let Some(state) = self.slots.get_mut(&slot) {
            state.backoff.failures = 0;
            state.backoff.retry_at = None;
        }
    }

    /// Notes a restart that a crash has caused.
    pub(crate) fn count_restart(&mut self, slot: Slot) {
        if let Some(state) = self.slots.get_mut(&slot) {
            state.backoff.restarts = state.backoff.restarts.saturating_add(1);
        }
        self.budget.restarts.push_back(self.now);
        if self.restarts_in_window() > self.budget_limit() {
            self.start_probing();
        }
    }

    /// Whether an unplanned start of this slot may be made now; otherwise sees to it that the
    /// question is asked again in time.
    pub(crate) fn may_restart(&mut self, slot: Slot) -> bool {
        let Some(state) = self.slots.get(&slot) else {
            return false;
        };
        let outage = self.is_outage();
        let longest = state.last_start + self.policy.outage_interval;
        let retry_at = state.backoff.retry_at;
        if let Some(retry_at) = retry_at.map(|at| if outage { at.min(longest) } else { at })
            && retry_at > self.now
        {
            self.wake_at(retry_at);
            return false;
        }
        if state.crashed && self.restarts_in_window() >= self.budget_limit() {
            self.start_probing();
        }
        self.may_probe()
    }

    /// While the budget is spent: the last probe was long ago, or has proved itself.
    fn may_probe(&mut self) -> bool {
        let Some(probing) = &self.budget.probing else {
            return true;
        };
        let pause = if self.is_outage() {
            self.policy.probe_interval.min(self.policy.outage_interval)
        } else {
            self.policy.probe_interval
        };
        let next_at = probing.last_at + pause;
        let proved_at = probing
            .last
            .and_then(|id| self.instances.get(&id))
            .filter(|last| last.state == State::Ready)
            .and_then(|last| last.ready_at)
            .map(|ready_at| ready_at + self.policy.min_ready);
        let open_at = proved_at.map_or(next_at, |proved_at| proved_at.min(next_at));
        if open_at > self.now {
            self.wake_at(open_at);
            return false;
        }
        true
    }

    /// Remembers an unplanned start as the last probe.
    pub(crate) fn note_probe(&mut self, id: InstanceId) {
        if let Some(probing) = &mut self.budget.probing {
            probing.last_at = self.now;
            probing.last = Some(id);
        }
    }

    fn start_probing(&mut self) {
        if self.budget.probing.is_some() {
            return;
        }
        let restarts = u32::try_from(self.budget.restarts.len()).unwrap_or(u32::MAX);
        let last_at = self.budget.restarts.back().copied().unwrap_or(self.now);
        self.budget.probing = Some(Probing {
            restarts,
            last_at,
            last: None,
        });
        self.act(Action::Report(Report::Alarm(Alarm::CrashBudget {
            restarts,
        })));
    }

    /// The mode ends when no slot waits any more and the last probe has proved itself.
    pub(crate) fn end_probing(&mut self) {
        let Some(probing) = &self.budget.probing else {
            return;
        };
        let proved = probing
            .last
            .and_then(|id| self.instances.get(&id))
            .is_none_or(|last| last.ready_for(self.policy.min_ready, self.now));
        if self.is_whole() && proved {
            self.budget.probing = None;
            self.act(Action::Report(Report::Alarm(Alarm::CrashBudgetOver)));
        } else if let Some(last) = probing.last.and_then(|id| self.instances.get(&id))
            && let Some(ready_at) = last.ready_at
        {
            self.wake_at(ready_at + self.policy.min_ready);
        }
    }

    /// Whether no worker serves, not even a suspect one.
    fn is_outage(&self) -> bool {
        let serves = |state| matches!(state, State::Ready | State::Suspect);
        !self
            .wanted_slots()
            .any(|(_, slot)| serves(self.state_of(slot.current)))
    }

    /// Whether the budget is spent.
    pub(crate) const fn is_probing(&self) -> bool {
        self.budget.probing.is_some()
    }

    fn restarts_in_window(&mut self) -> usize {
        let window_from = self.now - self.policy.crash_window;
        let restarts = &mut self.budget.restarts;
        while restarts.front().is_some_and(|at| *at < window_from) {
            restarts.pop_front();
        }
        restarts.len()
    }

    fn budget_limit(&self) -> usize {
        let limit = u64::from(self.wanted) * u64::from(self.policy.crash_budget_per_worker);
        usize::try_from(limit).unwrap_or(usize::MAX)
    }
}
