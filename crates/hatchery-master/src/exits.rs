//! A report for every death: what the supervisor knows of it, joined with what the dead process
//! has left behind.
//!
//! The supervisor's reason says why the pool let go of an instance; what really ended it may be
//! something else, and is told by the kernel, the instance's last lines and its page. The last
//! reports are kept in a file of the run directory, so that they outlive the master.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hatchery_ipc::exits::{Exit, InFlight};
use hatchery_supervisor::{ExitStatus, InstanceId, Reason, Report, Role, Signal, Time};
use hatchery_sys::recorder::{PanicRecord, RequestRecord};
use hatchery_sys::signals;
use serde::{Deserialize, Serialize};

use crate::evidence::{self, Inquiry};
use crate::journal::{how_it_ended, is_planned};
use crate::process::Process;
use crate::trace::Trace;

/// More requests or connections than this are a page gone wrong, not a loss.
pub(crate) const CUT_MAX: u64 = 1_000_000;

/// How the standard library's allocation failure ends, before it aborts.
const ALLOCATION_FAILED: &str = "memory allocation of ";

/// The code that a program ends with when its main thread has panicked.
const PANIC_CODE: i32 = 101;

/// From such a panic to the end, destructors and the master's own delay included.
const UNWIND_MAX: Duration = Duration::from_secs(10);

/// From a panic to an exit that counts as its consequence.
const RIGHT_AFTER: Duration = Duration::from_secs(1);

/// What the master notes of a process in its life, for the report of its death.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    /// The last reading of its resident set, bytes; 0 before the first.
    pub(crate) rss_bytes: u64,
    /// We have sent it a signal that it cannot go on after.
    is_ended_by_us: bool,
    /// We have sent it SIGTERM, which ends one that does not listen yet.
    is_told_to_end: bool,
    /// What was found out when it was silent last. The next image looks for itself.
    #[serde(skip)]
    pub(crate) inquiry: Option<Inquiry>,
}

impl Notes {
    /// We have sent it a signal.
    pub(crate) fn sent(&mut self, signal: Signal) {
        match signal {
            Signal::Term => self.is_told_to_end = true,
            Signal::Abort | Signal::Kill => self.is_ended_by_us = true,
        }
    }

    /// What the next image is to know.
    pub(crate) fn saved(&self) -> Self {
        Self {
            inquiry: None,
            ..*self
        }
    }

    /// Where it was when it was silent last.
    pub(crate) fn trace(&self) -> Option<&Trace> {
        self.inquiry.as_ref()?.trace.as_ref()
    }

    pub(crate) fn trace_mut(&mut self) -> Option<&mut Trace> {
        self.inquiry.as_mut()?.trace.as_mut()
    }

    /// When its silence is to be looked into next.
    pub(crate) fn next_look(&self) -> Option<Time> {
        self.inquiry.as_ref()?.next_at()
    }
}

/// What a dead process has left behind.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    pub(crate) pid: u32,
    /// When it was buried.
    at: Time,
    /// We sent it a signal that it could not go on after.
    pub(crate) is_ended_by_us: bool,
    is_told_to_end: bool,
    /// The kernel has killed it for want of memory.
    pub(crate) is_oom: bool,
    /// How long its loops had not turned.
    pub(crate) silent: Option<Duration>,
    rss_bytes: u64,
    requests_cut: u64,
    connections_cut: u64,
    stderr: Vec<String>,
    evidence: Vec<String>,
    in_flight: Vec<InFlight>,
    panic: Option<PanicRecord>,
    /// Where it was when it crashed, or fell silent.
    pub(crate) trace: Option<Trace>,
}

/// Why an instance really ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// As the supervisor says.
    Told(Reason),
    Panic,
    /// By the kernel.
    OomKill,
    /// By its own allocator.
    OomAbort,
    /// While it was on its way out for another reason.
    Struck(Reason),
}

impl Remains {
    /// Takes down what a process has left behind; `peak_bytes` is the kernel's own last word on its
    /// memory.
    pub(crate) fn of(process: &Process, now: Time, peak_bytes: u64) -> Self {
        let notes = &process.notes;
        let measured = notes.rss_bytes;
        let (silence, crash) = (notes.trace().cloned(), Trace::of_crash(&process.recorder));
        Self {
            pid: process.pid,
            at: now,
            is_ended_by_us: notes.is_ended_by_us,
            is_told_to_end: notes.is_told_to_end,
            is_oom: false,
            silent: None,
            rss_bytes: if measured > 0 { measured } else { peak_bytes },
            requests_cut: process.page.in_flight().min(CUT_MAX),
            connections_cut: process.page.connections().min(CUT_MAX),
            stderr: process.stderr.tail.iter().map(Into::into).collect(),
            evidence: notes
                .inquiry
                .as_ref()
                .map(|inquiry| inquiry.lines.clone())
                .unwrap_or_default(),
            in_flight: in_flight(&process.recorder.in_flight(now.as_millis())),
            panic: process.recorder.panic(),
            // The crash that we have caused ourselves is the end of a silence.
            trace: if notes.is_ended_by_us {
                silence.or(crash.map(Trace::of_abort))
            } else {
                crash.or(silence)
            },
        }
    }

    /// The request that had the thread.
    pub(crate) fn running(&self) -> Option<&InFlight> {
        self.in_flight.iter().find(|request| request.running)
    }

    /// The kernel has killed it: its peak says more than the last reading.
    pub(crate) fn oom_killed(&mut self, peak_bytes: u64) {
        self.is_oom = true;
        self.rss_bytes = self.rss_bytes.max(peak_bytes);
    }

    fn cause(&self, reason: Reason, status: Option<ExitStatus>) -> Cause {
        // In its boot, whatever ended it made the boot fail.
        if self.is_ended_by_us || reason == Reason::Boot {
            return Cause::Told(reason);
        }
        match status {
            Some(ExitStatus::Signal { signal, .. }) => match signals::Signal::from_raw(signal) {
                Some(signals::Signal::Term) if self.is_told_to_end => Cause::Told(reason),
                Some(signals::Signal::Kill) if self.is_oom => Cause::OomKill,
                Some(signals::Signal::Abrt) if self.allocation_failed() => Cause::OomAbort,
                Some(signals::Signal::Abrt) if self.panicked(status).is_some() => Cause::Panic,
                _ if reason == Reason::Signal => Cause::Told(reason),
                _ => Cause::Struck(Reason::Signal),
            },
            Some(ExitStatus::Code(1..)) if self.panicked(status).is_some() => Cause::Panic,
            Some(ExitStatus::Code(code)) if code != 0 && reason != Reason::Exit => {
                Cause::Struck(Reason::Exit)
            }
            _ => Cause::Told(reason),
        }
    }

    /// The panic that ended it. One that was caught, and answered with a 500, is none.
    fn panicked(&self, status: Option<ExitStatus>) -> Option<&PanicRecord> {
        let before = match status? {
            ExitStatus::Code(0) => return None,
            ExitStatus::Code(PANIC_CODE) => UNWIND_MAX,
            ExitStatus::Code(_) => RIGHT_AFTER,
            ExitStatus::Signal { signal, .. } if signal == signals::Signal::Abrt.as_raw() => {
                UNWIND_MAX
            }
            ExitStatus::Signal { .. } => return None,
        };
        let panic = self.panic.as_ref()?;
        (self.at.since(Time::from_millis(panic.time_ms)) <= before).then_some(panic)
    }

    fn allocation_failed(&self) -> bool {
        let mut lines = self.stderr.iter();
        lines.any(|line| line.contains(ALLOCATION_FAILED) && line.ends_with(" failed"))
    }
}

impl Cause {
    /// The contract's word.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Told(reason) | Self::Struck(reason) => reason.as_str(),
            Self::Panic => "panic",
            Self::OomKill | Self::OomAbort => "oom",
        }
    }
}

/// The report of a death, from the supervisor's and what was left behind; `None` for any other
/// report. `time` is the contract's time of day.
pub(crate) fn assemble(report: &Report, remains: &Remains, time: String) -> Option<Exit> {
    let Report::Died {
        instance,
        role,
        generation,
        reason,
        status,
        uptime,
        ..
    } = report
    else {
        return None;
    };
    let cause = remains.cause(*reason, *status);
    let (exit_code, signal) = match status {
        Some(ExitStatus::Code(code)) => (Some(*code), None),
        Some(ExitStatus::Signal { signal, .. }) => (None, Some(signal_name(*signal))),
        None => (None, None),
    };
    let panic = remains.panicked(*status).map(panic_text);
    let mut exit = Exit {
        instance: instance.0,
        slot: role.slot().map(|slot| slot.0),
        pid: remains.pid,
        role: match role {
            Role::Agent => "agent".into(),
            Role::Worker(_) => "worker".into(),
            Role::Spare => "spare".into(),
        },
        generation: generation.0,
        reason: cause.as_str().into(),
        exit_code,
        signal,
        panic,
        stack: remains.trace.as_ref().map(Trace::lines).unwrap_or_default(),
        in_flight: remains.in_flight.clone(),
        stderr: remains.stderr.clone(),
        rss_bytes: remains.rss_bytes,
        uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        requests_cut: remains.requests_cut,
        connections_cut: remains.connections_cut,
        time,
        summary: String::new(),
        evidence: if *reason == Reason::Hang {
            remains.evidence.clone()
        } else {
            Vec::new()
        },
    };
    exit.summary = summary(&exit, cause, report, remains);
    Some(exit)
}

/// One line for a person: why, how that is known, and what it has cost.
fn summary(exit: &Exit, cause: Cause, report: &Report, remains: &Remains) -> String {
    let Report::Died {
        reason,
        status,
        detail,
        ..
    } = report
    else {
        return String::new();
    };
    let (reason, status, detail) = (*reason, *status, detail.as_deref());
    let mut text = cause.as_str().to_owned();
    match cause {
        Cause::OomKill => text.push_str(", killed by the kernel for want of memory"),
        Cause::OomAbort => text.push_str(", an allocation failed"),
        Cause::Told(Reason::Hang) => {
            let recovered = status == Some(ExitStatus::Code(0));
            if let Some(silent) = remains.silent.filter(|_| !recovered) {
                let _ = write!(text, ", silent for {:.1}s", silent.as_secs_f64());
            }
            if evidence::is_stopped(&exit.evidence) {
                text.push_str(", stopped by a signal from outside");
            }
        }
        _ => {}
    }
    text.push_str(&how_it_ended(status));
    if is_planned(reason) && !matches!(cause, Cause::Told(_)) {
        let _ = write!(text, ", on its way out ({})", reason.as_str());
    }
    if let Some(panic) = &exit.panic {
        text.push_str(": ");
        text.push_str(panic);
    }
    // The supervisor's detail is the status or the silence again where nobody has said more.
    let detail = detail.filter(|_| reason != Reason::Hang);
    if let Some(detail) = detail.filter(|detail| status.is_none_or(|s| s.to_string() != **detail)) {
        text.push_str(": ");
        text.push_str(detail);
    }
    if let Some(place) = Trace::describe(remains.trace.as_ref(), remains.running()) {
        text.push_str("; ");
        text.push_str(&place);
    }
    if exit.requests_cut > 0 || exit.connections_cut > 0 {
        let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let requests = count(exit.requests_cut, "request");
        let connections = count(exit.connections_cut, "connection");
        let _ = write!(text, "; {requests} and {connections} cut");
    }
    text
}

pub(crate) fn in_flight(records: &[RequestRecord]) -> Vec<InFlight> {
    let one = |record: &RequestRecord| InFlight {
        method: record.method.clone(),
        path: record.path.clone(),
        age_ms: record.age_ms,
        running: record.running,
    };
    records.iter().map(one).collect()
}

/// `message, src/orders.rs:12:5`, in one line.
fn panic_text(panic: &PanicRecord) -> String {
    let message = panic
        .message
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    format!("{message}, {}", panic.location)
}

fn signal_name(raw: i32) -> String {
    let known = signals::Signal::from_raw(raw);
    known.map_or_else(|| format!("SIG{raw}"), |signal| signal.name().into())
}

/// What dead processes have left behind, until the supervisor has said why they died.
pub(crate) type Remaining = BTreeMap<InstanceId, Remains>;

#[cfg(test)]
mod tests;
