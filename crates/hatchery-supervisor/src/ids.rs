//! The names of things: slot, instance, generation, request.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A worker's place in the pool, `0..N`. A replacement keeps its predecessor's slot: slots, not
/// process ids, are the identity of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u32);

/// One process, numbered from 1 and never reused while the master lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub u64);

/// One release with its configuration, numbered from 1; a reload makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

/// A command's number, chosen by the shell; the answer carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// What an instance is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Background work that exists once; serves no clients.
    Agent,
    /// Serves clients from a slot.
    Worker(Slot),
    /// A worker that is booted and waits for a slot; serves no clients until it has one.
    Spare,
}

impl Role {
    /// The worker's slot; `None` for the agent and for a spare.
    pub const fn slot(self) -> Option<Slot> {
        match self {
            Self::Agent | Self::Spare => None,
            Self::Worker(slot) => Some(slot),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Spare => f.write_str("spare"),
            Self::Worker(slot) => write!(f, "worker {}", slot.0),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
