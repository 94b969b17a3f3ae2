//! Memory pressure: the ladder of four levels by which the pool degrades by itself.
//!
//! Policy table, *pressure*: 1 workers trim; 2 no scale up, no stand-ins, no spares, lifetime
//! recycles wait; 3 the fattest worker is recycled, stop-first; 4 workers shed. A level is climbed
//! at once, and left for the one below after `pressure_calm`.
//!
//! | level | somebody waits | all wait | group's limit used | machine's memory used |
//! |---|---|---|---|---|
//! | 1 trim | 10 %, or the kernel told | 1 % | 85 % | 90 % |
//! | 2 no growth | 20 % | 5 % | 90 % | 95 % |
//! | 3 shrink | 40 % | 10 % | 95 % | 97 % |
//! | 4 shed | 60 % | 20 % | 98 % | 99 % |
//!
//! The highest that any column gives counts. Waiting is measured over ten seconds. The limit of a
//! control group counts always, for its end can come without a wait before it; the machine's memory
//! counts only where nobody measures waiting, because much of it may be somebody else's for good.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Report};
use crate::commands::Pending;
use crate::ids::{InstanceId, Slot};
use crate::supervisor::Supervisor;
use crate::time::Time;

/// From this level on the pool does not grow.
pub(crate) const NO_GROWTH: u8 = 2;

/// From this level on the pool gives back what it can.
pub(crate) const SHRINK: u8 = 3;

/// One reading of how short memory is. What nobody can tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PressureReading {
    /// The share of the last ten seconds in which somebody waited for memory, in hundredths of a
    /// per cent.
    pub some: Option<u32>,
    /// The same for all who could have run.
    pub full: Option<u32>,
    /// The kernel has told by itself that somebody waited for long.
    pub triggered: bool,
    /// The used part of the tightest control group's limit, in thousandths.
    pub group_permille: Option<u32>,
    /// The used part of the machine's memory, in thousandths.
    pub machine_permille: Option<u32>,
    /// What the service can still take, bytes.
    pub available_bytes: Option<u64>,
}

/// What the ladder knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pressure {
    /// 0 to 4.
    pub(crate) level: u8,
    /// The reading that made it, for people; empty at level 0.
    pub(crate) why: String,
    /// What the last reading alone would give.
    target: u8,
    /// Since when readings have been below the level.
    calm_since: Option<Time>,
    /// What the service can still take, as last read.
    pub(crate) available_bytes: Option<u64>,
    /// The want of room for a replacement was told.
    pub(crate) no_room_told: bool,
    /// When a worker was last stopped to shrink.
    pub(crate) shrunk_at: Option<Time>,
    /// Workers that a new configuration wants when memory allows it.
    pub(crate) postponed: Option<u32>,
}

/// One level of the ladder: what is needed in each column.
struct Rung {
    some: u32,
    full: u32,
    group_permille: u32,
    machine_permille: u32,
}

const LADDER: [Rung; 4] = [
    Rung::new(1_000, 100, 850, 900),
    Rung::new(2_000, 500, 900, 950),
    Rung::new(4_000, 1_000, 950, 970),
    Rung::new(6_000, 2_000, 980, 990),
];

impl Rung {
    const fn new(some: u32, full: u32, group_permille: u32, machine_permille: u32) -> Self {
        Self {
            some,
            full,
            group_permille,
            machine_permille,
        }
    }
}

impl PressureReading {
    /// The level that this reading alone gives, and the column that gives it in words.
    fn level(&self) -> (u8, String) {
        let climb = |value: Option<u32>, of: fn(&Rung) -> u32| {
            let reached = |value: u32| LADDER.iter().filter(|rung| value >= of(rung)).count();
            value.map_or(0, |value| u8::try_from(reached(value)).unwrap_or(0))
        };
        let measured = self.some.is_some() || self.full.is_some();
        let machine = self.machine_permille.filter(|_| !measured);
        let columns = [
            (
                climb(self.some, |rung| rung.some),
                "somebody waits for memory",
                self.some.unwrap_or(0),
            ),
            (
                climb(self.full, |rung| rung.full),
                "everybody waits for memory",
                self.full.unwrap_or(0),
            ),
            (
                climb(self.group_permille, |rung| rung.group_permille),
                "the control group's limit is used up",
                self.group_permille.unwrap_or(0) * 10,
            ),
            (
                climb(machine, |rung| rung.machine_permille),
                "the machine's memory is used up",
                machine.unwrap_or(0) * 10,
            ),
        ];
        let told = u8::from(self.triggered);
        let mut highest = (
            told,
            "the kernel tells that somebody waits for memory".to_owned(),
        );
        for (level, what, hundredths) in columns {
            if level > 0 && level >= highest.0 {
                let share = format!("{}.{:02} %", hundredths / 100, hundredths % 100);
                highest = (level, format!("{what} to {share}"));
            }
        }
        highest
    }
}

impl Supervisor {
    /// Takes a reading: up at once, down only after a calm time.
    pub(crate) fn read_pressure(&mut self, reading: &PressureReading) {
        let (target, why) = reading.level();
        let now = self.now;
        let pressure = &mut self.pressure;
        pressure.available_bytes = reading.available_bytes;
        pressure.target = target;
        if target >= pressure.level {
            pressure.calm_since = None;
        } else {
            pressure.calm_since.get_or_insert(now);
        }
        self.changes += 1;
        if target > self.pressure.level {
            self.set_pressure(target, why);
        }
        if self.has_room() {
            self.pressure.no_room_told = false;
        }
    }

    /// Leaves a level after a calm time, one at a time.
    pub(crate) fn step_pressure(&mut self) {
        let Some(calm_since) = self.pressure.calm_since else {
            return;
        };
        let over_at = calm_since + self.policy.pressure_calm;
        if over_at > self.now {
            self.wake_at(over_at);
            return;
        }
        let level = self.pressure.level.saturating_sub(1);
        let calm = level > self.pressure.target;
        self.pressure.calm_since = calm.then_some(self.now);
        let why = format!("below the level for {:?}", self.policy.pressure_calm);
        self.set_pressure(level, why);
        if level < NO_GROWTH
            && let Some(workers) = self.pressure.postponed.take()
        {
            self.pending.push_front(Pending::Workers(workers));
        }
    }

    fn set_pressure(&mut self, to: u8, why: String) {
        let from = std::mem::replace(&mut self.pressure.level, to);
        if to == 0 {
            self.pressure.why.clear();
        } else if to > from {
            self.pressure.why.clone_from(&why);
        }
        self.act(Action::Pressure { level: to });
        self.act(Action::Report(Report::Pressure { from, to, why }));
    }

    /// Whether the pool must not grow.
    pub(crate) const fn may_not_grow(&self) -> bool {
        self.pressure.level >= NO_GROWTH
    }

    /// Why a scale up is refused; `None` when it is not.
    pub(crate) fn growth_refused(&self, workers: u32) -> Option<String> {
        (self.may_not_grow() && workers > self.wanted).then(|| {
            format!(
                "memory is short (level {}: {}): no workers are added now",
                self.pressure.level, self.pressure.why
            )
        })
    }

    /// The fattest worker, when memory is so short that it has to go before its successor comes.
    /// One that is `memory_fresh` has nothing to give back; the next waits until the last one's
    /// end can show.
    pub(crate) fn shrink_candidate(&mut self) -> Option<(Slot, InstanceId)> {
        if self.pressure.level < SHRINK {
            return None;
        }
        if let Some(shrunk_at) = self.pressure.shrunk_at {
            let next_at = shrunk_at + self.policy.pressure_calm;
            if next_at > self.now {
                self.wake_at(next_at);
                return None;
            }
        }
        let (_, slot, id) = self
            .wanted_slots()
            .filter(|(_, state)| state.incoming.is_none())
            .filter_map(|(slot, state)| {
                let worker = self.instances.get(&state.current?)?;
                let old = worker.ready_for(self.policy.memory_fresh, self.now);
                (old && worker.memory_bytes > 0).then_some((worker.memory_bytes, slot, worker.id))
            })
            .max()?;
        self.may_stop_first(slot).then_some((slot, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_column_counts() {
        let none = PressureReading::default();
        let table = [
            (none, 0),
            (
                PressureReading {
                    triggered: true,
                    ..none
                },
                1,
            ),
            (
                PressureReading {
                    some: Some(999),
                    full: Some(500),
                    ..none
                },
                2,
            ),
            (
                PressureReading {
                    some: Some(4_000),
                    group_permille: Some(979),
                    ..none
                },
                3,
            ),
            (
                PressureReading {
                    some: Some(0),
                    group_permille: Some(980),
                    ..none
                },
                4,
            ),
            (
                PressureReading {
                    machine_permille: Some(1_000),
                    ..none
                },
                4,
            ),
            (
                PressureReading {
                    some: Some(0),
                    full: Some(0),
                    machine_permille: Some(1_000),
                    ..none
                },
                0,
            ),
        ];
        for (reading, level) in table {
            assert_eq!(reading.level().0, level, "{reading:?}");
        }
    }

    #[test]
    fn it_says_which_column_that_is() {
        let reading = PressureReading {
            some: Some(1_234),
            group_permille: Some(957),
            ..PressureReading::default()
        };
        let why = "the control group's limit is used up to 95.70 %";
        assert_eq!(reading.level(), (3, why.to_owned()));
    }
}
