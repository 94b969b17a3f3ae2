//! Memory limits.
//!
//! Policy table, *memory*: soft limit, three samples in a row over it: recycle. Hard: drain 5 s,
//! kill. A fresh worker over the limit: alarm, no loop.

use crate::action::{Action, Alarm, Reason, Report, State};
use crate::ids::{InstanceId, Role, Slot};
use crate::supervisor::Supervisor;

impl Supervisor {
    /// A reading of a worker's memory. The agent has no limit.
    pub(crate) fn memory(&mut self, id: InstanceId, bytes: u64) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let Role::Worker(slot) = instance.role else {
            return;
        };
        if !matches!(instance.state, State::Ready | State::Suspect) {
            return;
        }
        let generation = instance.generation;
        let policy = self.policy_of(generation);
        let (soft, hard) = (policy.memory_soft, policy.memory_hard);
        if !instance.sampled {
            for limit in [soft, hard] {
                if limit > 0 && bytes > limit {
                    self.switch_off(Alarm::FreshOverLimit {
                        generation,
                        bytes,
                        limit,
                    });
                }
            }
        }
        let over_soft = soft > 0 && bytes > soft && !self.is_off(id, soft);
        let over_hard = hard > 0 && bytes > hard && !self.is_off(id, hard);
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.sampled = true;
            instance.over_soft = if over_soft { instance.over_soft + 1 } else { 0 };
            self.changes += 1;
        }
        if over_hard {
            self.over_hard(slot, id, bytes);
        }
    }

    /// Whether a reading says nothing new: within the limits, like those before it.
    pub(crate) fn is_modest(&self, id: InstanceId, bytes: u64) -> bool {
        let Some(instance) = self.instances.get(&id) else {
            return true;
        };
        let policy = self.policy_of(instance.generation);
        let within = |limit: u64| limit == 0 || bytes <= limit;
        instance.sampled
            && instance.over_soft == 0
            && within(policy.memory_soft)
            && within(policy.memory_hard)
    }

    /// Whether this limit was found to be too low for the instance's generation.
    fn is_off(&self, id: InstanceId, limit_bytes: u64) -> bool {
        self.instances.get(&id).is_some_and(|instance| {
            self.limits_off.iter().any(|alarm| {
                matches!(alarm, Alarm::FreshOverLimit { generation, limit, .. }
                    if *generation == instance.generation && *limit == limit_bytes)
            })
        })
    }

    fn switch_off(&mut self, alarm: Alarm) {
        let known = self.limits_off.iter().any(|other| match (other, &alarm) {
            (
                Alarm::FreshOverLimit {
                    generation: a,
                    limit: la,
                    ..
                },
                Alarm::FreshOverLimit {
                    generation: b,
                    limit: lb,
                    ..
                },
            ) => a == b && la == lb,
            _ => false,
        });
        if !known {
            self.limits_off.push(alarm.clone());
            self.act(Action::Report(Report::Alarm(alarm)));
        }
    }

    /// The machine is in danger: the worker goes now, its successor is started now. The successor
    /// of one that went for memory, over the limit again while fresh, waits like a crash: else a
    /// fast leak would be a fork loop.
    fn over_hard(&mut self, slot: Slot, id: InstanceId, bytes: u64) {
        if self.instances.get(&id).is_some_and(|i| i.detail.is_none()) {
            let detail = format!("{bytes} bytes are over the hard memory limit");
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.detail = Some(detail);
            }
        }
        let fresh_heir = self.is_fresh_heir(id);
        let limit = self
            .instances
            .get(&id)
            .map(|instance| self.policy_of(instance.generation).memory_hard_drain);
        self.drain_within(id, Reason::Memory, true, limit.unwrap_or_default());
        self.fail_reload_of(id);
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        if state.current != Some(id) {
            return;
        }
        match state
            .incoming_id()
            .and_then(|id| self.instances.get_mut(&id))
        {
            Some(heir) => heir.memory_heir = true,
            None => state.memory_heir = true,
        }
        if fresh_heir {
            self.tell_leak(slot, id, bytes);
            self.back_off(slot);
        } else {
            self.forgive_failures(slot, id);
        }
        self.retire(slot, id);
    }

    /// Whether the instance follows one that was recycled for memory and is no older than
    /// `memory_fresh`.
    fn is_fresh_heir(&self, id: InstanceId) -> bool {
        self.instances.get(&id).is_some_and(|instance| {
            let fresh = self.policy_of(instance.generation).memory_fresh;
            instance.memory_heir && !instance.ready_for(fresh, self.now)
        })
    }

    fn tell_leak(&mut self, slot: Slot, id: InstanceId, bytes: u64) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut instance.leak_told, true) {
            return;
        }
        let alarm = Alarm::FastLeak { slot, bytes };
        if let Some(state) = self.slots.get_mut(&slot)
            && state.current == Some(id)
        {
            state.leak = Some(alarm.clone());
        }
        self.act(Action::Report(Report::Alarm(alarm)));
    }

    /// The worker that has been over the soft limit for `memory_samples` readings and was ready
    /// first. One that grew too fast after a predecessor that did so too is left alone until it is
    /// `memory_fresh` old.
    pub(crate) fn memory_candidate(&mut self) -> Option<(Slot, InstanceId)> {
        let mut over: Vec<_> = self
            .wanted_slots()
            .filter(|(_, state)| state.incoming.is_none())
            .filter_map(|(slot, state)| {
                let instance = self.instances.get(&state.current?)?;
                let samples = self.policy_of(instance.generation).memory_samples.max(1);
                let over = instance.state == State::Ready && instance.over_soft >= samples;
                over.then_some((instance.ready_at, slot, instance.id, instance.memory_bytes))
            })
            .collect();
        over.sort_unstable();
        for (ready_at, slot, id, bytes) in over {
            if !self.is_fresh_heir(id) {
                return Some((slot, id));
            }
            self.tell_leak(slot, id, bytes);
            if let Some(ready_at) = ready_at {
                let fresh = self.policy.memory_fresh;
                self.wake_at(ready_at + fresh);
            }
        }
        None
    }
}
