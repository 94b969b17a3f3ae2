//! How short memory is: readings for the supervisor, and the level it makes of them for everybody.

use std::path::Path;

use hatchery_ipc::child::{ToChild, Versioned as _};
use hatchery_ipc::status::Pressure;
use hatchery_supervisor::{Event, InstanceId, PressureReading};
use hatchery_sys::epoll::{Epoll, Interest, Ready};
use hatchery_sys::page::StatsPage;
use hatchery_sys::proc::pressure::{Reading, Room, Sensor, Trigger};

use crate::master::Master;
use crate::token::Token;

/// Where `proc` and `sys` are looked for instead of `/`: for tests, which write readings of their
/// own.
const ROOT: &str = "HATCHERY_PRESSURE_ROOT";

/// What the master has to read memory pressure, and what it has counted.
#[derive(Debug)]
pub(crate) struct Gauge {
    sensor: Sensor,
    /// Where the kernel tells by itself.
    trigger: Option<Trigger>,
    /// Requests that were refused by processes that are gone.
    pub(crate) refused: u64,
}

impl Gauge {
    /// Begins to watch. A kernel that does not tell by itself is asked at intervals only.
    pub(crate) fn new(epoll: &Epoll, refused: u64) -> Self {
        let root = std::env::var_os(ROOT).unwrap_or_else(|| "/".into());
        let sensor = Sensor::new(Path::new(&root));
        let token = Token::Pressure.to_u64();
        let watch = |trigger: &Trigger| epoll.add(trigger, token, Interest::URGENT);
        let trigger = sensor.trigger().ok();
        Self {
            sensor,
            trigger: trigger.filter(|trigger| watch(trigger).is_ok()),
            refused,
        }
    }

    /// A process is gone; what it has refused still counts.
    pub(crate) fn forget(&mut self, page: &StatsPage) {
        self.refused = self.refused.saturating_add(page.refused_total());
    }
}

impl Master {
    /// Tells the supervisor how short memory is. `triggered`: the kernel told by itself.
    pub(crate) fn read_pressure(&mut self, triggered: bool) {
        let reading = told(&self.gauge.sensor.read(), triggered);
        self.tell(Event::Pressure { reading });
    }

    /// The kernel tells that somebody waits for memory.
    pub(crate) fn pressure_fired(&mut self, event: Ready) {
        if event.hangup
            && let Some(trigger) = self.gauge.trigger.take()
        {
            // Its control group is gone; readings at intervals go on.
            let _ = self.epoll.delete(&trigger);
        }
        if event.urgent {
            self.read_pressure(true);
        }
    }

    /// Tells everybody how short memory is.
    pub(crate) fn tell_pressure(&mut self) {
        let all: Vec<_> = self.processes.keys().copied().collect();
        for id in all {
            self.tell_pressure_to(id);
        }
    }

    /// Tells one process. One that speaks an older protocol goes without.
    pub(crate) fn tell_pressure_to(&mut self, id: InstanceId) {
        let (level, _) = self.supervisor.pressure();
        let message = ToChild::Pressure { level };
        let process = self.processes.get(&id);
        if process.is_some_and(|process| process.protocol >= message.since()) {
            self.tell_child(id, &message);
        }
    }

    /// For `status`.
    pub(crate) fn pressure(&self) -> Pressure {
        let (level, why) = self.supervisor.pressure();
        let reason = match level {
            0 => String::new(),
            level => format!("{why}; {}", effect(level)),
        };
        let living = self.processes.values();
        let living = living.map(|process| process.page.refused_total());
        Pressure {
            level,
            reason,
            refused: living.fold(self.gauge.refused, u64::saturating_add),
        }
    }
}

fn told(reading: &Reading, triggered: bool) -> PressureReading {
    PressureReading {
        some: reading.stall.map(|stall| stall.some),
        full: reading.stall.map(|stall| stall.full),
        triggered,
        group_permille: reading.group.as_ref().map(Room::used_permille),
        machine_permille: reading.machine.as_ref().map(Room::used_permille),
        available_bytes: reading.available(),
    }
}

/// What is done at a level, besides what is done below it.
pub(crate) const fn effect(level: u8) -> &'static str {
    match level {
        0 => "nothing is held back",
        1 => "caches are trimmed",
        2 => "the pool does not grow",
        3 => "the fattest worker is recycled",
        _ => "requests above half of the usual load are refused",
    }
}
