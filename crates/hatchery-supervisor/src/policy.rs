//! The policy: every number that the rules use, with its default and the reason for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Every limit that the supervisor applies. `Policy::default()` is what production should start
/// from; each field is a key of the configuration's `[cluster]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Workers wanted, at least 1.
    pub workers: u32,
    /// Ready workers kept beside them, which take any slot at once. Zero: none.
    pub spares: u32,
    /// How long an instance may take from its start until it says *ready*. A time-out is a
    /// failure, never a success.
    pub ready_timeout: Duration,
    /// How often the shell reports heartbeats; a gap of the master's own of more than twice this
    /// is a sleep of the master, which no instance is punished for.
    pub heartbeat_interval: Duration,
    /// Silence after which an instance is *suspect*: steered away from, a stand-in started.
    pub suspect_after: Duration,
    /// Silence after which a suspect is ended: SIGABRT, [`abort_grace`](Self::abort_grace), SIGKILL.
    pub hang_timeout: Duration,
    /// Between SIGABRT and SIGKILL of a hung instance, and between SIGTERM and SIGKILL of one that
    /// never became ready.
    pub abort_grace: Duration,
    /// Age at which a worker is recycled, ± [`lifetime_jitter_percent`](Self::lifetime_jitter_percent).
    /// Zero: never.
    pub lifetime: Duration,
    /// Spread of the lifetime, in per cent of it, so that workers do not age in step.
    pub lifetime_jitter_percent: u32,
    /// Least time between two recycles caused by lifetime.
    pub lifetime_spacing: Duration,
    /// Memory (PSS, bytes) above which a worker is recycled. Zero: no limit.
    pub memory_soft: u64,
    /// Memory (PSS, bytes) above which a worker is drained at once and killed soon. Zero: no limit.
    pub memory_hard: u64,
    /// Consecutive samples above the soft limit that make a recycle (the shell samples every 5 s:
    /// three samples are 15 s, a spike is not a leak).
    pub memory_samples: u32,
    /// Drain limit of a worker above the hard limit.
    pub memory_hard_drain: Duration,
    /// A worker recycled for memory this soon after its readiness tells of a fast leak or of a
    /// limit that is too low: its successor is left alone until it is as old, and an alarm raised.
    pub memory_fresh: Duration,
    /// A level of memory pressure is left for the one below after so long below it; and at level 3
    /// so long passes from one worker that is stopped to the next.
    pub pressure_calm: Duration,
    /// How long an instance may take to drain before its process group is killed.
    pub drain_timeout: Duration,
    /// A reload's canary must stay ready this long before the rest follows.
    pub min_ready: Duration,
    /// Workers replaced at once in a reload, as a share of the pool; at least one.
    pub surge_percent: u32,
    /// Delay after the second crash in a row; the first restarts at once. Doubles from there.
    pub backoff_initial: Duration,
    /// Longest delay between two restarts of a slot.
    pub backoff_max: Duration,
    /// An instance that was ready this long has cleared its slot's failures.
    pub healthy_after: Duration,
    /// Restarts after crashes that the whole pool may make in [`crash_window`](Self::crash_window),
    /// as a multiple of `workers`. Beyond it: one probing slot every
    /// [`probe_interval`](Self::probe_interval), and an alarm.
    pub crash_budget_per_worker: u32,
    /// The window of the crash budget.
    pub crash_window: Duration,
    /// Pause between two probes while the crash budget is spent.
    pub probe_interval: Duration,
    /// The same, and the longest back-off of a slot, while no worker serves at all: nobody is spared
    /// by waiting longer.
    pub outage_interval: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            workers: 4,
            spares: 0,
            ready_timeout: Duration::from_mins(1),
            heartbeat_interval: Duration::from_millis(250),
            suspect_after: Duration::from_secs(1),
            hang_timeout: Duration::from_secs(10),
            abort_grace: Duration::from_secs(2),
            lifetime: Duration::from_hours(1),
            lifetime_jitter_percent: 10,
            lifetime_spacing: Duration::from_mins(1),
            memory_soft: 512 << 20,
            memory_hard: 768 << 20,
            memory_samples: 3,
            memory_hard_drain: Duration::from_secs(5),
            memory_fresh: Duration::from_mins(1),
            pressure_calm: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            min_ready: Duration::from_secs(1),
            surge_percent: 25,
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            healthy_after: Duration::from_mins(1),
            crash_budget_per_worker: 2,
            crash_window: Duration::from_mins(1),
            probe_interval: Duration::from_secs(30),
            outage_interval: Duration::from_secs(5),
        }
    }
}
