//! The master's settings: the tables `[cluster]` and `[listen]` of the configuration.
//!
//! Every limit that the supervisor and the master's loop apply is a key here, with a default that
//! production can start from. Durations are strings (`"10s"`), sizes too (`"512MiB"`).

mod listen;
mod share;
pub mod units;
mod validate;

use std::time::Duration;

use hatchery_supervisor::Policy;
use serde::{Deserialize, Serialize};

pub use listen::{ADDRESSES_MAX, Listen, Mode};
pub use share::{Surge, WORKERS_MAX, Workers};
pub use validate::Problem;

/// Everything that the master is told by the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The pool and its policy.
    pub cluster: Cluster,
    /// The listening sockets.
    pub listen: Listen,
}

/// The table `[cluster]`. Each field is the key of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// Workers wanted: `"auto"` or 1 to [`WORKERS_MAX`].
    pub workers: Workers,
    /// Age at which a worker is recycled, ± 10 %; zero: never.
    #[serde(with = "units::duration")]
    pub lifetime: Duration,
    /// Least time between two recycles caused by lifetime.
    #[serde(with = "units::duration")]
    pub lifetime_spacing: Duration,
    /// How often the master looks at the workers' ticks, and how often they tick.
    #[serde(with = "units::duration")]
    pub heartbeat_interval: Duration,
    /// Silence after which a worker is steered away from and a stand-in started.
    #[serde(with = "units::duration")]
    pub suspect_after: Duration,
    /// Silence after which a worker is ended.
    #[serde(with = "units::duration")]
    pub hang_timeout: Duration,
    /// How long an instance may take from its start to its readiness.
    #[serde(with = "units::duration")]
    pub ready_timeout: Duration,
    /// How long an instance may take to finish what is in flight.
    #[serde(with = "units::duration")]
    pub drain_timeout: Duration,
    /// Draining: idle connections are closed within this, spread over time.
    #[serde(with = "units::duration")]
    pub idle_grace: Duration,
    /// A reload's first worker must stay ready this long before the rest follows.
    #[serde(with = "units::duration")]
    pub min_ready: Duration,
    /// Workers replaced at once in a reload.
    pub surge: Surge,
    /// Memory (PSS, bytes) above which a worker is recycled; zero: no limit.
    #[serde(with = "units::size")]
    pub memory_soft: u64,
    /// Memory (PSS, bytes) above which a worker is drained at once and killed soon; zero: no
    /// limit; absent: 1.5 times [`memory_soft`](Self::memory_soft).
    #[serde(with = "units::optional_size", skip_serializing_if = "Option::is_none")]
    pub memory_hard: Option<u64>,
    /// How long children serve on after the master's death.
    #[serde(with = "units::duration")]
    pub orphan_grace: Duration,
    /// Booted workers without a slot, kept to take the slot of one that dies or hangs.
    pub spares: u32,

    /// How often a worker's memory is sampled; three samples above the limit make a recycle.
    #[serde(with = "units::duration")]
    pub memory_interval: Duration,
    /// A worker that is over the limit this soon after its readiness tells of a limit that is too
    /// low: an alarm, and its successor is left alone until it is as old.
    #[serde(with = "units::duration")]
    pub memory_fresh: Duration,
    /// A level of memory pressure is left after so long below it, and at level 3 so long passes
    /// from one worker that is recycled to the next.
    #[serde(with = "units::duration")]
    pub pressure_calm: Duration,
    /// Between SIGABRT and SIGKILL of a hung instance; zero: SIGKILL follows at once.
    #[serde(with = "units::duration")]
    pub abort_grace: Duration,
    /// Delay after the second crash in a row; doubles from there.
    #[serde(with = "units::duration")]
    pub backoff_initial: Duration,
    /// Longest delay between two restarts of a slot.
    #[serde(with = "units::duration")]
    pub backoff_max: Duration,
    /// An instance that was ready this long has cleared its slot's failures.
    #[serde(with = "units::duration")]
    pub healthy_after: Duration,
    /// Restarts after crashes in [`crash_window`](Self::crash_window), as a multiple of workers.
    pub crash_budget_per_worker: u32,
    /// The window of the crash budget.
    #[serde(with = "units::duration")]
    pub crash_window: Duration,
    /// Pause between two probes while the crash budget is spent.
    #[serde(with = "units::duration")]
    pub probe_interval: Duration,
}

impl Default for Cluster {
    /// The supervisor's own defaults, so that they exist once.
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            workers: Workers::Auto,
            lifetime: policy.lifetime,
            lifetime_spacing: policy.lifetime_spacing,
            heartbeat_interval: policy.heartbeat_interval,
            suspect_after: policy.suspect_after,
            hang_timeout: policy.hang_timeout,
            ready_timeout: policy.ready_timeout,
            drain_timeout: policy.drain_timeout,
            idle_grace: Duration::from_secs(5),
            min_ready: policy.min_ready,
            surge: Surge::Percent(policy.surge_percent),
            memory_soft: policy.memory_soft,
            memory_hard: None,
            orphan_grace: Duration::from_secs(30),
            spares: policy.spares,
            memory_interval: Duration::from_secs(5),
            memory_fresh: policy.memory_fresh,
            pressure_calm: policy.pressure_calm,
            abort_grace: policy.abort_grace,
            backoff_initial: policy.backoff_initial,
            backoff_max: policy.backoff_max,
            healthy_after: policy.healthy_after,
            crash_budget_per_worker: policy.crash_budget_per_worker,
            crash_window: policy.crash_window,
            probe_interval: policy.probe_interval,
        }
    }
}

impl Cluster {
    /// The hard memory limit in bytes: as set, else 1.5 times the soft one; zero: no limit.
    pub fn memory_hard_bytes(&self) -> u64 {
        let default = self.memory_soft.saturating_add(self.memory_soft / 2);
        self.memory_hard.unwrap_or(default)
    }
}

impl Settings {
    /// For the next image of this master.
    pub(crate) fn save(&self) -> Result<serde_json::Value, String> {
        serde_json::to_value(self).map_err(|error| format!("cannot write the settings: {error}"))
    }

    /// From the former image. A key that this build does not know has no effect in it, so it is
    /// left out: that image may have been of a newer release.
    pub(crate) fn restore(mut saved: serde_json::Value) -> Result<Self, String> {
        let known = Self {
            cluster: Cluster {
                memory_hard: Some(0),
                ..Cluster::default()
            },
            ..Self::default()
        }
        .save()?;
        if let Some(tables) = saved.as_object_mut() {
            tables.retain(|table, _| known.get(table).is_some());
            for (table, keys) in tables {
                if let Some(keys) = keys.as_object_mut() {
                    keys.retain(|key, _| known[table].get(key).is_some());
                }
            }
        }
        serde_json::from_value(saved)
            .map_err(|error| format!("the settings of the running master: {error}"))
    }

    /// The supervisor's policy. `cpu_num` is what `workers = "auto"` stands for.
    pub fn policy(&self, cpu_num: u32) -> Policy {
        let cluster = &self.cluster;
        let workers = cluster.workers.count(cpu_num);
        Policy {
            workers,
            spares: cluster.spares,
            ready_timeout: cluster.ready_timeout,
            heartbeat_interval: cluster.heartbeat_interval,
            suspect_after: cluster.suspect_after,
            hang_timeout: cluster.hang_timeout,
            abort_grace: cluster.abort_grace,
            lifetime: cluster.lifetime,
            lifetime_spacing: cluster.lifetime_spacing,
            memory_soft: cluster.memory_soft,
            memory_hard: cluster.memory_hard_bytes(),
            memory_fresh: cluster.memory_fresh,
            pressure_calm: cluster.pressure_calm,
            drain_timeout: cluster.drain_timeout,
            min_ready: cluster.min_ready,
            surge_percent: cluster.surge.percent(workers),
            backoff_initial: cluster.backoff_initial,
            backoff_max: cluster.backoff_max,
            healthy_after: cluster.healthy_after,
            crash_budget_per_worker: cluster.crash_budget_per_worker,
            crash_window: cluster.crash_window,
            probe_interval: cluster.probe_interval,
            // Not keys of the configuration (yet): the jitter, the number of samples and the
            // drain limit of a worker that is over the hard memory limit.
            ..Policy::default()
        }
    }
}

#[cfg(test)]
mod tests;
