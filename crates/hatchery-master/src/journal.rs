//! Reports of the supervisor as log lines: one report, one line.

use std::time::SystemTime;

use hatchery_supervisor::{Alarm, ExitStatus, Reason, Report, State};
use hatchery_sys::signals::Signal;

/// How urgent a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO ",
            Self::Warn => "WARN ",
            Self::Error => "ERROR",
        }
    }
}

/// The beginning of a log line: time (UTC) and level.
pub(crate) fn prefix(level: Level) -> String {
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{now} {} hatchery: ", level.as_str())
}

/// The text of a report. `pid` is the process it is about, where there is one.
pub(crate) fn describe(report: &Report, pid: Option<u32>) -> (Level, String) {
    let pid = pid.map(|pid| format!(" pid {pid}")).unwrap_or_default();
    match report {
        Report::Moved {
            instance,
            role,
            generation,
            from,
            to,
            reason,
        } => {
            let why = reason
                .map(|reason| format!(" ({})", reason.as_str()))
                .unwrap_or_default();
            let level = if *to == State::Suspect {
                Level::Warn
            } else {
                Level::Info
            };
            let (from, to) = (from.as_str(), to.as_str());
            let who = format!("{role} {instance}{pid} generation {generation}");
            (level, format!("{who}: {from} -> {to}{why}"))
        }
        Report::Died {
            instance,
            role,
            generation,
            reason,
            status,
            detail,
            uptime,
        } => {
            let how = how_it_ended(*status);
            let detail = detail
                .as_ref()
                .map(|text| format!(": {text}"))
                .unwrap_or_default();
            let uptime = humantime::format_duration(*uptime);
            let who = format!("{role} {instance}{pid} generation {generation}");
            let why = reason.as_str();
            // A hang that ended by itself was drained: nothing was lost.
            let recovered = *reason == Reason::Hang && *status == Some(ExitStatus::Code(0));
            let level = if is_planned(*reason) || recovered {
                Level::Info
            } else {
                Level::Error
            };
            (
                level,
                format!("{who} is gone after {uptime}: {why}{how}{detail}"),
            )
        }
        Report::Assigned {
            instance,
            slot,
            generation,
        } => {
            let who = format!("spare {instance}{pid} generation {generation}");
            (Level::Info, format!("{who}: takes slot {slot}"))
        }
        Report::Backoff {
            role,
            failures,
            delay,
        } => {
            let delay = humantime::format_duration(*delay);
            (
                Level::Warn,
                format!("{role}: failure {failures} in a row, next start in {delay}"),
            )
        }
        Report::Phase { from, to } => (
            Level::Info,
            format!("pool: {} -> {}", from.as_str(), to.as_str()),
        ),
        Report::Promoted { generation } => (
            Level::Info,
            format!("generation {generation} is the current one"),
        ),
        Report::Slept { gap } => {
            let gap = humantime::format_duration(*gap);
            (
                Level::Warn,
                format!("the master itself stood still for {gap}; nobody is blamed for it"),
            )
        }
        Report::Alarm(alarm @ Alarm::CrashBudgetOver) => (Level::Info, alarm_text(alarm)),
        Report::Alarm(alarm) => (Level::Error, format!("alarm: {}", alarm_text(alarm))),
    }
}

/// Why nobody is in a place, from the death of the last one; `None` for the pool's normal life.
pub(crate) fn setback(report: &Report, last_words: Option<&str>) -> Option<String> {
    let Report::Died {
        reason,
        status,
        detail,
        ..
    } = report
    else {
        return None;
    };
    if is_planned(*reason) {
        return None;
    }
    let detail = detail
        .as_ref()
        .map(|text| format!(": {text}"))
        .unwrap_or_default();
    let said = last_words
        .map(|line| format!("; it said last: {line}"))
        .unwrap_or_default();
    Some(format!(
        "{}{}{detail}{said}",
        reason.as_str(),
        how_it_ended(*status)
    ))
}

/// `, exit code 3`, `, signal 9 (SIGKILL)`, or nothing.
fn how_it_ended(status: Option<ExitStatus>) -> String {
    let name = match status {
        Some(ExitStatus::Signal { signal, .. }) => Signal::from_raw(signal),
        _ => None,
    };
    match (status, name) {
        (Some(status), Some(name)) => format!(", {status} ({name})"),
        (Some(status), None) => format!(", {status}"),
        (None, _) => String::new(),
    }
}

/// An alarm as people read it, in the log and in `status`.
pub(crate) fn alarm_text(alarm: &Alarm) -> String {
    let size = |bytes: &u64| bytesize::ByteSize::b(*bytes).display().iec().to_string();
    match alarm {
        Alarm::CrashBudget { restarts } => format!(
            "{restarts} restarts after crashes are too many: from now on one slot at a time is tried"
        ),
        Alarm::CrashBudgetOver => "restarts succeed again, nothing is held back".into(),
        Alarm::FreshOverLimit {
            generation,
            bytes,
            limit,
        } => format!(
            "a fresh worker of generation {generation} needs {}, more than the limit of {}: \
             the limit is off for this generation; raise it in [cluster]",
            size(bytes),
            size(limit)
        ),
        Alarm::FastLeak { slot, bytes } => format!(
            "worker {slot} is at {} soon after its start, like the one before it: a fast leak, or \
             a limit that is too low",
            size(bytes)
        ),
    }
}

/// Whether an end for this reason is the pool's normal life.
const fn is_planned(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Memory | Reason::Lifetime | Reason::Reload | Reason::Scale | Reason::Stop
    )
}
