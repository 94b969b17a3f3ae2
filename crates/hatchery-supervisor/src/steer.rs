//! What follows from the states: which slots receive connections, and the phase of the pool.

use crate::action::{Action, Phase, Report, State};
use crate::ids::{Generation, Slot};
use crate::supervisor::{Life, Supervisor};

impl Supervisor {
    /// Tells when the set of receiving slots has changed: those with a ready worker; if there is
    /// none, those with a suspect one (it may recover, nobody else can).
    pub(crate) fn steer(&mut self) {
        let mut slots = self.slots_in(State::Ready);
        if slots.is_empty() {
            slots = self.slots_in(State::Suspect);
        }
        if slots != self.steered {
            self.steered.clone_from(&slots);
            self.act(Action::Steer { slots });
        }
    }

    fn slots_in(&self, wanted: State) -> Vec<Slot> {
        self.slots
            .iter()
            .filter(|(_, state)| self.state_of(state.current) == wanted)
            .map(|(slot, _)| *slot)
            .collect()
    }

    /// Tells when the pool's phase has changed.
    pub(crate) fn update_phase(&mut self) {
        let to = self.present_phase();
        if to != self.phase {
            let from = std::mem::replace(&mut self.phase, to);
            self.act(Action::Report(Report::Phase { from, to }));
        }
    }

    fn present_phase(&self) -> Phase {
        match self.life {
            Life::New | Life::Starting => return Phase::Starting,
            Life::Ending(_) | Life::Over => return Phase::Stopping,
            Life::Up => {}
        }
        if self.reload_is_under_way() {
            return Phase::Reloading;
        }
        // Slots that a scale is adding are not missed yet.
        let settled = self.scale.as_ref().map_or(self.wanted, |scale| scale.from);
        let whole = self
            .wanted_slots()
            .filter(|(slot, _)| slot.0 < settled)
            .all(|(_, state)| self.state_of(state.current) == State::Ready);
        if whole { Phase::Ready } else { Phase::Degraded }
    }

    /// Lets go of generations that nothing runs or will run.
    pub(crate) fn forget_generations(&mut self) {
        let reload = self.reload_generation_in_use();
        let over: Vec<Generation> = self
            .generations
            .iter()
            .copied()
            .filter(|generation| {
                *generation != self.generation
                    && Some(*generation) != reload
                    && !self.instances.values().any(|i| i.generation == *generation)
            })
            .collect();
        for generation in over {
            self.generations.remove(&generation);
            self.limits_off.retain(|alarm| {
                !matches!(alarm, crate::Alarm::FreshOverLimit { generation: off, .. }
                    if *off == generation)
            });
            self.act(Action::Forget { generation });
        }
    }
}
