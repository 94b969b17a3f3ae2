//! The contract of `events --json`: one of these a line, oldest first.

use serde::{Deserialize, Serialize};

/// How many the master remembers.
pub const KEPT_MAX: usize = 1000;

/// Something that happened to the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 in the master's life; a gap was lost to a reader that was too slow.
    pub seq: u64,
    /// RFC 3339 in UTC, milliseconds.
    pub time: String,
    /// `moved`, `died`, `stack` (where a silent or crashed instance was), `backoff`, `phase`,
    /// `promoted`, `slept`, `alarm`, `pressure`, `handover`, `upgrade`, `orphan` or `command`.
    pub kind: String,
    /// Which instance it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u64>,
    /// Its process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its place in the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// What it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The former state, of an instance or of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, by the names of `exits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line for a person: the log's.
    pub text: String,
}
