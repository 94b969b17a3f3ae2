//! Reload: all instances replaced by ones of the release and configuration now on disk.
//!
//! Policy table, *reload*: preflight; a canary (one worker ready and alive for `min_ready`); then
//! batches of max(1, `surge_percent`), each started when the last is ready. Any failure before the
//! end stops the new ones and keeps the old generation. Between the canary and the batches the
//! agent is replaced, so that a release whose agent does not start is found early.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reason, Report, State};
use crate::commands::Pending;
use crate::event::Accepted;
use crate::ids::{Generation, InstanceId, RequestId, Slot};
use crate::policy::Policy;
use crate::slot::Purpose;
use crate::supervisor::Supervisor;

/// The reload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reload {
    /// What the new instances run.
    pub(crate) generation: Generation,
    /// What the new configuration asks for; the present policy until it is checked.
    pub(crate) policy: Policy,
    requests: Vec<RequestId>,
    /// The master follows when everything else has.
    #[serde(default)]
    upgrade: bool,
    stage: Stage,
    /// The slots being replaced now.
    batch: Vec<Slot>,
    /// A new instance has served or replaced the agent: undoing takes time.
    #[serde(default)]
    touched: bool,
}

/// How far a reload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Checking,
    Canary,
    Agent,
    Batches,
    /// Undoing it, for this reason.
    RollBack(String),
}

impl Supervisor {
    /// Begins with the preflight; nothing is touched before it is passed.
    pub(crate) fn start_reload(&mut self, requests: Vec<RequestId>) {
        self.last_generation = Generation(self.last_generation.0 + 1);
        let generation = self.last_generation;
        self.generations.insert(generation);
        self.reload = Some(Reload {
            generation,
            policy: self.policy.clone(),
            requests,
            upgrade: false,
            stage: Stage::Checking,
            batch: Vec::new(),
            touched: false,
        });
        self.act(Action::Check { generation });
    }

    /// The preflight's result.
    pub(crate) fn checked(&mut self, generation: Generation, result: Result<Accepted, String>) {
        let Some(reload) = &mut self.reload else {
            return;
        };
        if reload.generation != generation || reload.stage != Stage::Checking {
            return;
        }
        match result {
            Ok(accepted) => {
                reload.policy = accepted.policy;
                reload.upgrade = accepted.upgrade;
                reload.stage = Stage::Canary;
                self.changes += 1;
                self.cancel_recycle(Reason::Reload);
            }
            Err(reason) => self.end_reload(&reason),
        }
    }

    /// Brings the reload forward, or back.
    pub(crate) fn step_reload(&mut self) {
        let Some(reload) = &self.reload else {
            return;
        };
        match reload.stage {
            Stage::Checking => {}
            Stage::Canary => self.step_canary(),
            Stage::Agent => {
                if self.agent_is_whole() {
                    self.set_stage(Stage::Batches);
                }
            }
            Stage::Batches => self.step_batches(),
            Stage::RollBack(_) => self.step_roll_back(),
        }
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(reload) = &mut self.reload {
            reload.stage = stage;
            self.changes += 1;
        }
    }

    fn step_canary(&mut self) {
        if !self.replace_batch(vec![Slot(0)], true) {
            return;
        }
        let generation = self.reload_generation();
        self.touch_reload();
        self.set_agent_generation(generation);
        self.set_stage(Stage::Agent);
    }

    fn step_batches(&mut self) {
        let Some(reload) = &mut self.reload else {
            return;
        };
        let generation = reload.generation;
        let mut batch = std::mem::take(&mut reload.batch);
        if batch.is_empty() {
            let surge = self.surge();
            batch = self
                .wanted_slots()
                .filter(|(_, state)| state.generation != generation)
                .map(|(slot, _)| slot)
                .take(surge)
                .collect();
        }
        if batch.is_empty() {
            self.finish_reload();
        } else if !self.replace_batch(batch.clone(), false)
            && let Some(reload) = &mut self.reload
        {
            reload.batch = batch;
        }
    }

    /// Workers replaced at once.
    fn surge(&self) -> usize {
        let share = u64::from(self.wanted) * u64::from(self.policy.surge_percent) / 100;
        self.fit(usize::try_from(share.max(1)).unwrap_or(usize::MAX))
    }

    /// Starts the batch's new workers, and when all are ready gives them their slots. Tells
    /// whether that is done.
    fn replace_batch(&mut self, batch: Vec<Slot>, canary: bool) -> bool {
        let generation = self.reload_generation();
        let mut ready = true;
        for &slot in &batch {
            let new = self.new_of(slot, generation);
            let Some(new) = new else {
                // Without room for two, one after the other.
                if ready || self.has_room() {
                    self.replace_by_new(slot, generation);
                }
                ready = false;
                continue;
            };
            ready &= self.is_ready(new);
            if canary && ready {
                ready = self.proved(new);
            }
        }
        if !ready {
            return false;
        }
        for slot in batch {
            if self
                .slots
                .get(&slot)
                .is_some_and(|state| state.incoming.is_some())
            {
                self.swap(slot, Purpose::Reload);
            }
            if let Some(state) = self.slots.get_mut(&slot) {
                state.generation = generation;
            }
        }
        self.changes += 1;
        true
    }

    /// Whether it has been ready for `min_ready`.
    fn proved(&mut self, id: InstanceId) -> bool {
        let from = self
            .instances
            .get(&id)
            .and_then(|instance| instance.proved_from);
        let Some(proved_at) = from.map(|from| from + self.policy.min_ready) else {
            return false;
        };
        self.wake_at(proved_at);
        proved_at <= self.now
    }

    /// The slot's instance of this generation, serving or about to.
    fn new_of(&self, slot: Slot, generation: Generation) -> Option<InstanceId> {
        let state = self.slots.get(&slot)?;
        [state.incoming_id(), state.current]
            .into_iter()
            .flatten()
            .find(|id| self.runs(Some(*id), generation))
    }

    fn replace_by_new(&mut self, slot: Slot, generation: Generation) {
        if self.must_stop_first(slot) {
            self.touch_reload();
            self.stop_first(slot, Reason::Reload);
        } else if !self.waits(slot) {
            self.start_new(slot, generation);
        }
    }

    fn start_new(&mut self, slot: Slot, generation: Generation) {
        if let Some(stale) = self
            .slots
            .get(&slot)
            .and_then(super::slot::SlotState::incoming_id)
        {
            self.retire(slot, stale);
            self.send_away(stale, Reason::Reload, true);
        }
        self.start_incoming(slot, generation, Purpose::Reload);
    }

    /// Makes the new generation the current one, once everything runs it.
    fn finish_reload(&mut self) {
        if !self.is_whole() || !self.agent_is_whole() {
            return; // one is suspect just now: it recovers, or it fails the reload
        }
        let Some(reload) = self.reload.take() else {
            return;
        };
        self.generation = reload.generation;
        let workers_before = self.policy.workers;
        self.policy = reload.policy;
        self.act(Action::Report(Report::Promoted {
            generation: reload.generation,
        }));
        let line = format!(
            "generation {}: {} and the agent replaced",
            reload.generation,
            crate::scale::workers_line(self.wanted)
        );
        if reload.upgrade {
            self.start_upgrade(reload.requests, Some(line));
        } else {
            for request in reload.requests {
                self.reply(request, Ok(line.clone()));
            }
        }
        if self.policy.workers != workers_before {
            self.pending
                .push_front(Pending::Workers(self.policy.workers));
        }
    }

    /// An unasked end, a hang or a time-out of an instance. If it belongs to the reload, the reload
    /// is undone. Tells whether it did.
    pub(crate) fn fail_reload_of(&mut self, id: InstanceId) -> bool {
        let generation = self.reload_generation();
        if !self.reload_goes_forward() || !self.runs(Some(id), generation) {
            return false;
        }
        let reason = self.describe_failure(id, None);
        self.abort_reload(reason);
        true
    }

    fn abort_reload(&mut self, reason: String) {
        let (old, new) = (self.generation, self.reload_generation());
        let slots: Vec<Slot> = self.slots.keys().copied().collect();
        for slot in slots {
            let Some(state) = self.slots.get_mut(&slot) else {
                continue;
            };
            state.generation = old;
            let (incoming, current) = (state.incoming_id(), state.current);
            let Some(incoming) = incoming.filter(|id| self.runs(Some(*id), new)) else {
                continue;
            };
            if self.is_ready(incoming) && !current.is_some_and(|id| self.is_ready(id)) {
                // Better than nobody, until its own successor comes.
                self.swap(slot, Purpose::Reload);
            } else {
                self.retire(slot, incoming);
                self.send_away(incoming, Reason::Reload, true);
            }
        }
        self.set_agent_generation(old);
        let touched = self.reload.as_ref().is_some_and(|reload| reload.touched);
        if touched {
            self.set_stage(Stage::RollBack(reason));
        } else {
            self.end_reload(&reason);
        }
    }

    /// Replaces workers of a generation that was given up, start before stop, as many at once as a
    /// reload does; these starts obey the crash rules.
    pub(crate) fn roll_back(&mut self) {
        if self.reload_goes_forward() {
            return;
        }
        let under_way = self
            .slots
            .values()
            .filter(|state| matches!(state.incoming, Some((_, Purpose::RollBack))))
            .count();
        let surge = self.surge();
        let stale: Vec<(Slot, Generation)> = self
            .wanted_slots()
            .filter(|(_, state)| {
                state.incoming.is_none()
                    && self.state_of(state.current) == State::Ready
                    && !self.runs(state.current, state.generation)
            })
            .map(|(slot, state)| (slot, state.generation))
            .collect();
        let mut free = surge.saturating_sub(under_way);
        for (slot, generation) in stale {
            if free > 0 && self.must_stop_first(slot) {
                free -= 1;
                self.stop_first(slot, Reason::Reload);
            } else if free > 0 && self.may_restart(slot) {
                free -= 1;
                self.start_incoming(slot, generation, Purpose::RollBack);
            }
        }
    }

    /// Answers when the old generation serves everywhere again.
    fn step_roll_back(&mut self) {
        let old = self.generation;
        let restored = self.is_whole()
            && self.agent_is_whole()
            && self
                .wanted_slots()
                .all(|(_, state)| self.runs(state.current, old));
        if let Some(Reload {
            stage: Stage::RollBack(reason),
            ..
        }) = &self.reload
            && restored
        {
            let reason = format!("{reason}; generation {old} restored");
            self.end_reload(&reason);
        }
    }

    /// An instance of the old generation failed while a reload was undone. The crash rules go on
    /// with it; who asked for the reload need not wait for that.
    pub(crate) fn fail_roll_back(&mut self, id: InstanceId) {
        let old = self.generation;
        if let Some(Reload {
            stage: Stage::RollBack(reason),
            ..
        }) = &self.reload
            && self.runs(Some(id), old)
        {
            let also = self.describe_failure(id, None);
            let reason = format!("{reason}; generation {old} is being restored, but {also}");
            self.end_reload(&reason);
        }
    }

    fn end_reload(&mut self, why: &str) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        self.changes += 1;
        for request in reload.requests {
            self.reply(request, Err(why.to_owned()));
        }
    }

    /// Ends the reload because the pool ends.
    pub(crate) fn drop_reload(&mut self, why: &str) {
        let reason = match &self.reload {
            Some(Reload {
                stage: Stage::RollBack(reason),
                ..
            }) => format!("{reason}; {why}"),
            _ => why.to_owned(),
        };
        self.end_reload(&reason);
    }

    /// Undoing the reload means replacing something from now on.
    pub(crate) fn touch_reload(&mut self) {
        if let Some(reload) = &mut self.reload {
            reload.touched = true;
        }
    }

    /// Past the preflight and not being undone.
    pub(crate) fn reload_goes_forward(&self) -> bool {
        self.reload.as_ref().is_some_and(|reload| {
            matches!(reload.stage, Stage::Canary | Stage::Agent | Stage::Batches)
        })
    }

    /// Past the preflight.
    pub(crate) fn reload_is_under_way(&self) -> bool {
        self.reload
            .as_ref()
            .is_some_and(|reload| reload.stage != Stage::Checking)
    }

    /// The new generation of the reload; 0, which nothing runs, when there is none.
    pub(crate) fn reload_generation(&self) -> Generation {
        self.reload
            .as_ref()
            .map_or(Generation(0), |reload| reload.generation)
    }

    /// The new generation while instances of it may still be started.
    pub(crate) fn reload_generation_in_use(&self) -> Option<Generation> {
        let reload = self.reload.as_ref()?;
        (!matches!(reload.stage, Stage::RollBack(_))).then_some(reload.generation)
    }
}
