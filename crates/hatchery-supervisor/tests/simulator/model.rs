//! What the supervisor cannot see: the processes, and how they behave.

use std::collections::BTreeMap;

use hatchery_supervisor::{
    Accepted, ExitStatus, Generation, InstanceId, PressureReading, Role, State,
};

/// Whether a process does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    Beats,
    /// Its loop is blocked; signals work.
    Hangs,
    /// SIGSTOP: nothing but SIGKILL ends it.
    Stopped,
}

/// How a process starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    Ready { after_ms: u64, twice: bool },
    Never,
    Exits { after_ms: u64, tells: bool },
}

/// A model process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) role: Role,
    pub(crate) generation: Generation,
    pub(crate) alive: bool,
    pub(crate) pulse: Pulse,
    /// When its loop last turned, while it hangs.
    pub(crate) beat_ms: u64,
    pub(crate) ready: bool,
    pub(crate) ignores_term: bool,
    pub(crate) ignores_drain: bool,
    pub(crate) draining: bool,
    pub(crate) bytes: u64,
    pub(crate) leak_per_s: u64,
    pub(crate) sampled_ms: u64,
    /// The shell loses its heartbeats until then.
    pub(crate) deaf_until_ms: u64,
    pub(crate) seen: Seen,
}

/// What the supervisor was told about it, and has asked of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// It was told to be ready, and the supervisor took it for ready.
    pub(crate) said_ready: bool,
    pub(crate) ready: bool,
    pub(crate) ready_ms: u64,
    /// As the last report told.
    pub(crate) state: Option<State>,
    pub(crate) gone: bool,
    pub(crate) died: bool,
    pub(crate) asked: bool,
    pub(crate) told_ready: bool,
    pub(crate) over_hard: bool,
    pub(crate) removed: bool,
    pub(crate) spawned_ms: u64,
    /// The last memory reading told.
    pub(crate) bytes: u64,
    /// The last heartbeat told, and the master's sleep until then.
    pub(crate) beat_ms: u64,
    pub(crate) slept_ms: u64,
}

impl Process {
    pub(crate) fn slot(&self) -> Option<u32> {
        self.role.slot().map(|slot| slot.0)
    }

    /// Serves, as far as the supervisor can know.
    pub(crate) fn serves(&self) -> bool {
        self.seen.ready && !self.seen.asked && !self.seen.gone
    }
}

/// What a release is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    Good,
    /// Refused by the preflight.
    Refused,
    /// The n-th worker started fails to boot.
    WorkerFails(u32),
    /// The n-th worker started crashes soon after it is ready.
    WorkerCrashes(u32),
    /// The n-th worker started hangs soon after it is ready.
    WorkerHangs(u32),
    AgentFails,
    /// Every worker is over the memory limit from the start.
    Fat,
}

/// How short memory is in the model's world, and what the supervisor was told of it.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// Readings are bad until then: up to this many thousandths of each scale.
    pub(crate) until_ms: u64,
    pub(crate) severity: u64,
    /// Until then there is room for this many bytes only.
    pub(crate) no_room_until_ms: u64,
    pub(crate) room_bytes: u64,
    pub(crate) next_reading_ms: u64,
    /// The last reading told, what it gives, and when one gave the present level last.
    pub(crate) read: PressureReading,
    pub(crate) target: u8,
    pub(crate) level: u8,
    pub(crate) level_since_ms: u64,
    pub(crate) not_calm_ms: u64,
    pub(crate) shrunk_ms: Option<u64>,
    /// Workers that went before their successors, by slot.
    pub(crate) stopped_first: BTreeMap<u32, InstanceId>,
}

/// The future: what the model does at which time, in a total order.
#[derive(Debug, Default)]
pub(crate) struct Future {
    events: BTreeMap<(u64, u64), Happening>,
    count: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Ready(InstanceId),
    BootFailed(InstanceId),
    Exit(InstanceId, ExitStatus),
    Hang(InstanceId),
    Recover(InstanceId),
    Leave(InstanceId),
    Checked(Generation, Box<Result<Accepted, String>>),
    Upgraded,
    Fault,
    Calm,
    HourEnds,
    /// By now the drained instance must be gone, unless the master slept meanwhile.
    DrainEnds(InstanceId, u64),
}

impl Future {
    pub(crate) fn at(&mut self, ms: u64, what: Happening) {
        self.count += 1;
        self.events.insert((ms, self.count), what);
    }

    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.events.keys().next().map(|(ms, _)| *ms)
    }

    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<Happening> {
        let entry = self.events.first_entry()?;
        (entry.key().0 <= now_ms).then(|| entry.remove())
    }

    /// Forgets everything that belongs to processes.
    pub(crate) fn keep_hours(&mut self) {
        self.events.retain(|_, what| {
            matches!(
                what,
                Happening::Fault | Happening::Calm | Happening::HourEnds
            )
        });
    }
}
