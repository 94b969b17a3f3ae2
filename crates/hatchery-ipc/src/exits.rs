//! The contract of `exits --json`: an array of these, newest last.

use serde::{Deserialize, Serialize};

/// How many are kept.
pub const KEPT_MAX: usize = 50;

/// Why an instance died, and what it was doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its unique number.
    pub instance: u64,
    /// Its place in the pool; `None` for the agent and for a spare.
    pub slot: Option<u32>,
    /// Its process id; 0 when it could not be started.
    pub pid: u32,
    /// `agent`, `worker` or `spare`.
    pub role: String,
    /// What it ran.
    pub generation: u64,
    /// `boot`, `clean`, `exit`, `panic`, `signal`, `oom`, `hang`, `memory`, `lifetime`, `reload`,
    /// `scale` or `stop`.
    pub reason: String,
    /// Its exit code; `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal's name, as `SIGSEGV`; `None` when it exited.
    pub signal: Option<String>,
    /// The message of the panic that ended it, with its place.
    pub panic: Option<String>,
    /// The blocked or crashed thread's stack, innermost first; empty when there is none.
    pub stack: Vec<String>,
    /// The requests that it was serving, the one that had the thread first, then by age.
    pub in_flight: Vec<InFlight>,
    /// The last lines of its stderr.
    pub stderr: Vec<String>,
    /// Its memory, as last measured, bytes.
    pub rss_bytes: u64,
    /// From its start to its end, milliseconds.
    pub uptime_ms: u64,
    /// Requests whose clients got no answer because of this end.
    pub requests_cut: u64,

    /// Connections that were open when it ended by force; a request on its way in one of them is
    /// lost, too.
    #[serde(default)]
    pub connections_cut: u64,
    /// When it was buried, as RFC 3339 in UTC.
    #[serde(default)]
    pub time: String,
    /// One line for a person: why, and how that is known.
    #[serde(default)]
    pub summary: String,
    /// What `/proc` said of its threads while it was silent, one line each.
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// A request that was being served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Its method.
    pub method: String,
    /// Its path without the query, cut where it is long.
    pub path: String,
    /// How long it had been served, milliseconds.
    pub age_ms: u64,
    /// Whether its handler had the thread when the process ended.
    #[serde(default)]
    pub running: bool,
}
