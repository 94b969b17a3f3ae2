//! Everything that can happen to the pool.

use std::fmt;

use crate::ids::{Generation, InstanceId, RequestId};
use crate::policy::Policy;
use crate::pressure::PressureReading;
use crate::time::Time;

/// What the shell tells the supervisor. Each event comes with the time at which it is handled.
#[expect(
    clippy::large_enum_variant,
    reason = "events are handled one at a time; a box for the rare `Checked` gains nothing"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Begin: start the agent, then the workers. The first event, once.
    Start,
    /// A deadline of [`next_deadline`](crate::Supervisor::next_deadline) has come. Harmless when
    /// early, late or superfluous.
    Timer,
    /// The process of a [`Spawn`](crate::Action::Spawn) exists.
    Spawned {
        /// Which instance.
        instance: InstanceId,
        /// Its process id, for people; the supervisor never compares it.
        pid: u32,
    },
    /// The process of a [`Spawn`](crate::Action::Spawn) could not be made; there is nothing to reap.
    SpawnFailed {
        /// Which instance.
        instance: InstanceId,
        /// The system's reason.
        reason: String,
    },
    /// The instance says that it can do its work.
    Ready {
        /// Which instance.
        instance: InstanceId,
    },
    /// The instance says why it cannot start, just before it exits. Kept for the report.
    BootFailed {
        /// Which instance.
        instance: InstanceId,
        /// In its own words, one line.
        reason: String,
    },
    /// The instance drains by itself (somebody sent it SIGTERM): replace it before it is gone.
    Leaving {
        /// Which instance.
        instance: InstanceId,
    },
    /// The last moment at which every serving loop of the instance was seen to turn.
    Heartbeat {
        /// Which instance.
        instance: InstanceId,
        /// That moment; never later than the time of the event.
        at: Time,
    },
    /// A memory reading, every five seconds for each ready instance.
    Memory {
        /// Which instance.
        instance: InstanceId,
        /// Proportional set size near the limit, resident set size below it; bytes.
        bytes: u64,
    },
    /// How short memory is, with each round of memory readings and when the kernel tells by itself.
    Pressure {
        /// What was read.
        reading: PressureReading,
    },
    /// The process is gone and reaped, its process group killed.
    Exited {
        /// Which instance.
        instance: InstanceId,
        /// How it ended.
        status: ExitStatus,
    },
    /// The answer to [`Check`](crate::Action::Check).
    Checked {
        /// Which generation was checked.
        generation: Generation,
        /// What the release asks for, or why it is refused.
        result: Result<Accepted, String>,
    },
    /// The answer to [`Upgrade`](crate::Action::Upgrade): from the new image of the master when it
    /// runs, otherwise from the one that goes on.
    Upgraded {
        /// What the master runs now, in one line; or why it runs what it did.
        result: Result<String, String>,
    },
    /// Somebody asks for something; answered by exactly one [`Reply`](crate::Action::Reply).
    Command {
        /// The shell's number for it.
        request: RequestId,
        /// What is asked.
        command: Command,
    },
}

/// A release that passed the preflight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The policy that its configuration asks for.
    pub policy: Policy,
    /// Whether the master itself runs another executable and is to follow when all else has.
    pub upgrade: bool,
}

/// What people (and signals) can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Replace all instances by ones of the release and configuration now on disk.
    Reload,
    /// Replace the master's own image by the executable now on disk; nobody else notices.
    Upgrade,
    /// Make the pool this large; at least 1.
    Scale {
        /// Workers wanted.
        workers: u32,
    },
    /// Change the pool's size by this much, never below 1.
    ScaleBy {
        /// Added to the workers wanted.
        delta: i32,
    },
    /// End: workers, then agent, then master.
    Stop {
        /// Do not wait for what is in flight.
        fast: bool,
    },
}

/// How a process ended, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal {
                signal,
                core_dumped: false,
            } => write!(f, "signal {signal}"),
            Self::Signal {
                signal,
                core_dumped: true,
            } => write!(f, "signal {signal} (core dumped)"),
        }
    }
}
