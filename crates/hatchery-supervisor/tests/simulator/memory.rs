//! Memory of the model's machine: readings, and the checkers of what follows from them.

use hatchery_supervisor::{
    Event, Generation, InstanceId, Phase, PressureReading, Role, Slot, State,
};

use super::{Simulation, ms};

/// What there is while there is room for all.
const PLENTY_BYTES: u64 = 64 << 30;

/// A tick late, a kernel that is slow: how much later than the outage's pause a start may come.
const OUTAGE_SLACK_MS: u64 = 2_000;

impl Simulation {
    /// The reading of one round, when it is time for one.
    pub(super) fn read_memory(&mut self) {
        if self.now_ms < self.shortage.next_reading_ms {
            return;
        }
        self.shortage.next_reading_ms = self.now_ms + self.sample_ms;
        let short = self.now_ms < self.shortage.until_ms;
        let severity = if short { self.shortage.severity } else { 30 };
        let mut share = |of: u64| {
            let value = self.dice.range(0, severity) * of / 1_000;
            let known = self.dice.chance(80);
            u32::try_from(value).ok().filter(|_| known)
        };
        let (some, full) = (share(8_000), share(2_500));
        let (group_permille, machine_permille) = (share(1_020), share(1_020));
        let available_bytes = if self.now_ms < self.shortage.no_room_until_ms {
            self.shortage.room_bytes
        } else {
            PLENTY_BYTES
        };
        let reading = PressureReading {
            some,
            full,
            triggered: short && self.dice.chance(30),
            group_permille,
            machine_permille,
            available_bytes: self.dice.chance(97).then_some(available_bytes),
        };
        self.tell(Event::Pressure { reading });
    }

    pub(super) fn note_reading(&mut self, reading: PressureReading) {
        let shortage = &mut self.shortage;
        shortage.read = reading;
        shortage.target = expected(&reading);
        if shortage.target >= shortage.level {
            shortage.not_calm_ms = self.now_ms;
        }
    }

    /// Up to what the last reading gives; down by one, after calm.
    pub(super) fn check_level(&mut self, to: u8) {
        let (from, target) = (self.shortage.level, self.shortage.target);
        let calm_ms = ms(self.policy.pressure_calm);
        let calm = self.now_ms >= self.shortage.not_calm_ms + calm_ms
            && self.now_ms >= self.shortage.level_since_ms + calm_ms;
        let fine = if to > from {
            to == target
        } else {
            to + 1 == from && target < from && calm
        };
        if !fine {
            self.fail(&format!(
                "pressure from {from} to {to}, readings give {target}"
            ));
        }
        self.shortage.level = to;
        self.shortage.level_since_ms = self.now_ms;
        if target >= to {
            self.shortage.not_calm_ms = self.now_ms;
        }
    }

    /// Starts that a pool short of memory must not make.
    pub(super) fn check_growth(&mut self, role: Role, generation: Generation) {
        let level = self.shortage.level;
        if role == Role::Spare && level >= 2 {
            self.fail(&format!("a spare is started at pressure {level}"));
        }
        let Role::Worker(slot) = role else {
            return;
        };
        let current = self.supervisor.current(slot);
        let suspect = current.is_some_and(|current| current.state == State::Suspect);
        if suspect && level >= 2 && generation == self.promoted {
            self.fail(&format!("a stand-in is started at pressure {level}"));
        }
        let first = self.shortage.stopped_first.get(&slot.0).copied();
        let here = |id| {
            let process = self.processes.get(&id);
            process.is_some_and(|process| !process.seen.gone)
        };
        if let Some(first) = first.filter(|id| here(*id))
            && self.scaling.is_empty()
            && self.promoted_ms != self.now_ms
        {
            self.fail(&format!("slot {slot} is filled before {first} is gone"));
        }
        if let Some((since_ms, slept_ms)) = self.idle_since
            && slept_ms == self.slept_ms
        {
            let idle_ms = self.now_ms - since_ms;
            let longest_ms = ms(self.policy.outage_interval) + OUTAGE_SLACK_MS;
            if idle_ms > longest_ms + ms(self.policy.heartbeat_interval) {
                self.fail(&format!(
                    "nobody served and nobody was started for {idle_ms} ms"
                ));
            }
        }
    }

    /// No worker serves, not even a suspect one.
    pub(super) fn is_outage(&self) -> bool {
        let serves = |slot| {
            let current = self.supervisor.current(slot);
            current.is_some_and(|i| matches!(i.state, State::Ready | State::Suspect))
        };
        !(0..self.supervisor.workers_wanted()).map(Slot).any(serves)
    }

    /// A worker may go before its successor comes when memory is short, and the rest serves.
    pub(super) fn check_stop_first(&mut self, id: InstanceId, slot: u32) {
        // What is wanted may have grown in the same moment.
        let wanted = self.supervisor.workers_wanted().min(self.known_wanted);
        let alive = self.processes.values().filter(|p| !p.seen.gone);
        let fattest = alive.map(|process| process.seen.bytes).max();
        let room = self.shortage.read.available_bytes.unwrap_or(PLENTY_BYTES);
        let tight = fattest.is_some_and(|bytes| room < bytes / 10 * 12);
        let shrinks = self.shortage.level >= 3;
        if !tight && !shrinks {
            self.fail(&format!(
                "{id} goes before its successor comes, for no reason"
            ));
        }
        if shrinks && !tight {
            let spaced_ms = ms(self.policy.pressure_calm);
            let last_ms = self.shortage.shrunk_ms.replace(self.now_ms);
            if last_ms.is_some_and(|last_ms| self.now_ms < last_ms + spaced_ms) {
                self.fail(&format!("{id} is stopped too soon after the last one"));
            }
        }
        let served = |slot: u32| {
            let ready = |process: &super::Process| {
                // A scale that came later in the same moment has its drain yet to come.
                let removed_next = process.seen.removed;
                process.slot() == Some(slot)
                    && process.serves()
                    && (removed_next || process.seen.state == Some(State::Ready))
            };
            self.processes.values().any(ready)
        };
        // A spare may have its slot already.
        let spare_serves = served(slot);
        if wanted < 2 || (0..wanted).filter(|slot| !served(*slot)).count() > 1 {
            self.fail(&format!(
                "{id} goes before its successor comes, below the floor"
            ));
        }
        self.explained.insert(slot);
        // Where a spare serves already nobody waits: when it fails, its place is filled at once.
        if !spare_serves {
            self.shortage.stopped_first.insert(slot, id);
        }
        *self
            .outcome
            .seen
            .entry("stopped first".to_owned())
            .or_default() += 1;
    }

    /// A recycle for age waits while memory is short; one that has begun is brought to its end.
    pub(super) fn check_lifetime(&mut self, old: InstanceId) {
        let slot = self.processes.get(&old).and_then(super::Process::slot);
        let since_ms = self.shortage.level_since_ms;
        let begun = self.processes.iter().any(|(id, process)| {
            *id != old
                && process.slot() == slot
                && process.serves()
                && process.seen.spawned_ms <= since_ms
        });
        if self.shortage.level >= 2 && !begun {
            self.fail(&format!("{old} is recycled for age while memory is short"));
        }
    }

    /// After every event.
    pub(super) fn check_short_pool(&mut self, wanted: u32) {
        if self.shortage.level < self.shortage.target {
            self.fail("the level of pressure is below what the reading gives");
        }
        if wanted > self.known_wanted && self.shortage.level >= 2 {
            self.fail("the pool grows while memory is short");
        }
        let processes = &self.processes;
        self.shortage.stopped_first.retain(|slot, id| {
            let here = processes.get(id).is_some_and(|process| !process.seen.gone);
            here && *slot < wanted
        });
        let starting = self
            .supervisor
            .instances()
            .any(|instance| instance.role.slot().is_some() && instance.state == State::Starting);
        let up = !self.starting && self.supervisor.phase() != Phase::Stopping;
        let idle = up && !starting && self.shortage.stopped_first.is_empty() && self.is_outage();
        if !idle {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some((self.now_ms, self.slept_ms));
        }
    }
}

/// The ladder, written down once more.
fn expected(reading: &PressureReading) -> u8 {
    let climb = |value: Option<u32>, steps: [u32; 4]| {
        steps.iter().filter(|step| value >= Some(**step)).count()
    };
    let machine = match (reading.some, reading.full) {
        (None, None) => reading.machine_permille,
        _ => None,
    };
    let highest = [
        usize::from(reading.triggered),
        climb(reading.some, [1_000, 2_000, 4_000, 6_000]),
        climb(reading.full, [100, 500, 1_000, 2_000]),
        climb(reading.group_permille, [850, 900, 950, 980]),
        climb(machine, [900, 950, 970, 990]),
    ];
    u8::try_from(highest.into_iter().max().unwrap_or(0)).unwrap_or(0)
}
