//! The contract of `status --json`. States are the lower-case names of the supervisor's.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The state of a running application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The application's name.
    pub app: String,
    /// The environment's name.
    pub env: String,
    /// The application's version.
    pub version: String,
    /// `starting`, `ready`, `reloading`, `degraded` or `stopping`.
    pub state: String,
    /// The current generation.
    pub generation: u64,
    /// The addresses that are served, as clients would write them.
    pub listen: Vec<String>,
    /// The master process.
    pub master: Master,
    /// The agent; `None` while there is none.
    pub agent: Option<Agent>,
    /// Every worker process that exists, by slot and then by instance: while one is replaced, its
    /// slot has two.
    pub workers: Vec<Worker>,
    /// Booted workers that wait for a slot.
    #[serde(default)]
    pub spares: Vec<Spare>,
    /// Workers wanted.
    pub workers_wanted: u32,
    /// What somebody should look at, one line each; empty when all is well.
    pub alarms: Vec<String>,
    /// What the ends of processes have cost clients since the master's start.
    #[serde(default)]
    pub losses: Losses,
    /// Live connections that were passed from a worker to its successor since the master's start.
    #[serde(default)]
    pub handovers: Handovers,
    /// How short memory is, and what is done about it.
    #[serde(default)]
    pub pressure: Pressure,
    /// Processes of a former master that still serve.
    #[serde(default)]
    pub orphans: Vec<Orphan>,
}

impl Status {
    /// The workers that serve.
    pub fn ready(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.state == "ready")
    }

    /// The one worker that serves in a slot.
    pub fn worker(&self, slot: u32) -> Option<&Worker> {
        self.ready().find(|worker| worker.slot == slot)
    }

    /// Whether the pool is as it should be and nothing is under way: `workers` slots, each with
    /// one ready worker and no other process, and a ready agent.
    pub fn is_whole(&self, workers: u32) -> bool {
        let slots: BTreeSet<u32> = self.ready().map(|worker| worker.slot).collect();
        self.state == "ready"
            && self.workers_wanted == workers
            && self.workers.len() == workers as usize
            && slots == (0..workers).collect()
            && self
                .agent
                .as_ref()
                .is_some_and(|agent| agent.state == "ready")
    }

    /// The pids of the workers that exist.
    pub fn pids(&self) -> BTreeSet<u32> {
        self.workers.iter().map(|worker| worker.pid).collect()
    }

    /// The numbers of the workers that exist.
    pub fn instances(&self) -> BTreeSet<u64> {
        self.workers.iter().map(|worker| worker.instance).collect()
    }
}

/// The loss ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Requests that were cut.
    pub requests: u64,
    /// Connections that were cut, those of the requests among them.
    pub connections: u64,
    /// The same by the reason of the end, as in `exits`; only those that have cost something.
    pub by_cause: BTreeMap<String, Cut>,
}

/// What one cause has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Requests.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
}

/// How hand-overs went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handovers {
    /// Connections that a successor serves on.
    pub handed: u64,
    /// Connections that a successor did not take; they were served to their end where they were.
    pub refused: u64,
    /// Connections that could not be passed on (HTTP/2, upgraded, nobody to take them).
    pub fallen_back: u64,
}

/// Memory pressure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// 0 to 4: none, trim, no growth, shrink, shed.
    pub level: u8,
    /// The reading behind it, and what is done; empty at level 0.
    pub reason: String,
    /// Requests that workers have refused for it since the master's start.
    #[serde(default)]
    pub refused: u64,
}

/// A worker that waits for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spare {
    /// Its unique number.
    pub instance: u64,
    /// Its process id.
    pub pid: u32,
    /// Its lifecycle state.
    pub state: String,
    /// What it runs.
    pub generation: u64,
    /// Since its start, milliseconds.
    pub uptime_ms: u64,
    /// Its resident set, bytes.
    pub rss_bytes: u64,
}

/// A process of a former master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Its process id.
    pub pid: u32,
    /// `agent` or `worker`.
    pub role: String,
    /// Its slot, if it is a worker.
    pub slot: Option<u32>,
    /// `ready` or `draining`.
    pub state: String,
}

/// The master process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Master {
    /// Its process id.
    pub pid: u32,
    /// Its resident set, bytes.
    pub rss_bytes: u64,
    /// Since its start, milliseconds.
    pub uptime_ms: u64,
}

/// The agent process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its process id.
    pub pid: u32,
    /// Its lifecycle state.
    pub state: String,
    /// Since its start, milliseconds.
    pub uptime_ms: u64,
    /// How often an agent was started again since the master's start.
    pub restarts: u64,
}

/// One worker process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its place in the pool.
    pub slot: u32,
    /// Its unique number.
    pub instance: u64,
    /// Its process id.
    pub pid: u32,
    /// Its lifecycle state.
    pub state: String,
    /// What it runs.
    pub generation: u64,
    /// Since its start, milliseconds.
    pub uptime_ms: u64,
    /// How often this slot was given a new process since the master's start.
    pub restarts: u64,
    /// Its resident set, bytes.
    pub rss_bytes: u64,
    /// Requests being served.
    pub in_flight: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests begun since its start.
    pub requests_total: u64,
    /// Since its serving loop was last seen to turn, milliseconds.
    pub heartbeat_age_ms: u64,
}
