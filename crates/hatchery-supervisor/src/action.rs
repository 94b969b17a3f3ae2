//! Everything that the supervisor can ask the shell to do, and to tell.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::ExitStatus;
use crate::ids::{Generation, InstanceId, RequestId, Role, Slot};

/// What the shell must do. Actions come out of [`poll_action`](crate::Supervisor::poll_action) in
/// order and none may be skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// The number of the new instance.
        instance: InstanceId,
        /// What it is there for.
        role: Role,
        /// Whose binary and configuration it runs.
        generation: Generation,
    },
    /// Give a ready spare this slot: from now on it is the slot's worker and accepts its
    /// connections. A `Steer` to the slot may follow.
    Assign {
        /// The spare.
        instance: InstanceId,
        /// The slot, whose former worker is gone or suspect.
        slot: Slot,
    },
    /// Tell the instance that the whole pool is up (it is ready itself). Once an instance.
    ServerDidReady {
        /// Whom to tell.
        instance: InstanceId,
    },
    /// Ask the instance to finish what it has and exit.
    Drain {
        /// Whom to ask.
        instance: InstanceId,
        /// How long it has until it is killed.
        limit: Duration,
        /// Whether a successor takes the connections that wait in its listener's queue. If not,
        /// the instance accepts what has queued before it stops accepting.
        successor: bool,
    },
    /// Send a signal.
    Signal {
        /// To whom.
        instance: InstanceId,
        /// Which one.
        signal: Signal,
    },
    /// From now on, only these slots receive new connections (ascending; empty: none can).
    Steer {
        /// The slots with a ready, unsuspected, undrained worker.
        slots: Vec<Slot>,
    },
    /// Tell every instance, and each that is ready from now on, how short memory is.
    Pressure {
        /// 0 not at all, 1 trim, 2 no growth, 3 shrink, 4 shed requests.
        level: u8,
    },
    /// Pin the binary and configuration on disk as this generation and have them checked; answer
    /// with `Checked`.
    Check {
        /// The new generation.
        generation: Generation,
    },
    /// Replace the master's own image by the executable on disk, in place; answer with `Upgraded`.
    /// No reload or scale is under way meanwhile; processes come and go as ever.
    Upgrade,
    /// No instance runs or will run this generation: its files can be closed.
    Forget {
        /// Which generation.
        generation: Generation,
    },
    /// The answer to a command.
    Reply {
        /// Whose.
        request: RequestId,
        /// What was done, in one line; or why not.
        result: Result<String, String>,
    },
    /// Something that people, logs and event streams should learn. Nothing needs to be done.
    Report(Report),
    /// The master's work is over: every child is reaped.
    Finish {
        /// `Ok`: stopped as asked. `Err`: the start failed, with the reason.
        result: Result<(), String>,
    },
}

/// Signals that the supervisor uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM to the process: drain and exit.
    Term,
    /// SIGABRT to the process: a hung instance may still tell where it is.
    Abort,
    /// SIGKILL to the whole process group.
    Kill,
}

/// The lifecycle of an instance.
///
/// ```text
/// Starting ──► Ready ◄──► Suspect
///    │           │           │
///    │           ▼           │
///    │        Draining       │
///    ▼           ▼           ▼
/// Stopping ──────┴───────────┴──► Exited
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Asked for or spawned; has not said *ready*.
    Starting,
    /// Does its work.
    Ready,
    /// Was ready and has been silent for `suspect_after`.
    Suspect,
    /// Was asked to finish what it has and exit.
    Draining,
    /// Was sent a signal that ends it.
    Stopping,
    /// Gone and reaped.
    Exited,
}

impl State {
    /// The contract's lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
        }
    }
}

/// The state of the whole pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The first start: a failure now ends the master.
    Starting,
    /// Every slot has a ready worker.
    Ready,
    /// A reload is under way.
    Reloading,
    /// The pool has been up, and some slot has no ready worker now.
    Degraded,
    /// On the way out.
    Stopping,
}

impl Phase {
    /// The contract's lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Reloading => "reloading",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
        }
    }
}

/// Why an instance was ended or ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// It never became ready: exit, time-out or spawn failure.
    Boot,
    /// It exited with code 0 without being asked.
    Clean,
    /// It exited with another code without being asked.
    Exit,
    /// A signal that was not ours ended it.
    Signal,
    /// We ended it because it hung.
    Hang,
    /// Recycled: over a memory limit.
    Memory,
    /// Recycled: old age.
    Lifetime,
    /// Replaced by a reload, or the new side of one that was rolled back.
    Reload,
    /// Its slot was removed, or it was a stand-in or a spare that was no longer needed.
    Scale,
    /// The pool stops.
    Stop,
}

impl Reason {
    /// The contract's lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Clean => "clean",
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Hang => "hang",
            Self::Memory => "memory",
            Self::Lifetime => "lifetime",
            Self::Reload => "reload",
            Self::Scale => "scale",
            Self::Stop => "stop",
        }
    }
}

/// What people should learn. One report is one log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An instance changed its state.
    Moved {
        /// Which instance.
        instance: InstanceId,
        /// What it is there for.
        role: Role,
        /// What it runs.
        generation: Generation,
        /// Its former state.
        from: State,
        /// Its state now.
        to: State,
        /// Why, where a planned end or a kill is the cause.
        reason: Option<Reason>,
    },
    /// An instance is gone.
    Died {
        /// Which instance.
        instance: InstanceId,
        /// What it was there for.
        role: Role,
        /// What it ran.
        generation: Generation,
        /// Why.
        reason: Reason,
        /// How the kernel saw it; `None` when there never was a process.
        status: Option<ExitStatus>,
        /// Its own last words, or the spawn error.
        detail: Option<String>,
        /// From spawn to exit.
        uptime: Duration,
    },
    /// A spare took a slot.
    Assigned {
        /// Which instance.
        instance: InstanceId,
        /// The slot.
        slot: Slot,
        /// What it runs.
        generation: Generation,
    },
    /// A restart waits.
    Backoff {
        /// Of what.
        role: Role,
        /// Failures in a row.
        failures: u32,
        /// How long.
        delay: Duration,
    },
    /// The pool changed its phase.
    Phase {
        /// The former phase.
        from: Phase,
        /// The phase now.
        to: Phase,
    },
    /// A generation became the current one.
    Promoted {
        /// Which.
        generation: Generation,
    },
    /// The level of memory pressure changed.
    Pressure {
        /// The former level.
        from: u8,
        /// The level now.
        to: u8,
        /// The reading behind it, in words.
        why: String,
    },
    /// There is no room for a worker beside the present ones: until there is, a replacement
    /// starts when its predecessor is gone, one at a time.
    NoRoom {
        /// What the service can still take.
        available_bytes: u64,
        /// What one more worker needs.
        needed_bytes: u64,
    },
    /// The master itself slept (SIGSTOP, a starved machine); nobody is punished for it.
    Slept {
        /// How long.
        gap: Duration,
    },
    /// Somebody should look at this.
    Alarm(Alarm),
}

/// Conditions that people should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alarm {
    /// The pool's crash budget is spent: restarts are probes now.
    CrashBudget {
        /// Crash restarts in the window.
        restarts: u32,
    },
    /// The probes succeeded, the budget rule no longer holds anything back.
    CrashBudgetOver,
    /// A fresh worker is over a memory limit, which is off for its generation now.
    FreshOverLimit {
        /// Which generation.
        generation: Generation,
        /// What was measured.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A worker grew over the soft limit within `memory_fresh` of its readiness, and so did the
    /// one before it.
    FastLeak {
        /// In which slot.
        slot: Slot,
        /// What was measured.
        bytes: u64,
    },
}
