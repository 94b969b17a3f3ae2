//! Reports of the supervisor as log lines and as events: one report, one line, one event.

use hatchery_ipc::events::Event;
use hatchery_ipc::exits::Exit;
use hatchery_supervisor::{Alarm, ExitStatus, Generation, InstanceId, Reason, Report, Role, State};
use hatchery_sys::signals::Signal;

use crate::events::{event, now};
use crate::pressure;

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
    format!("{} {} hatchery: ", now(), level.as_str())
}

/// A report as an event, whose text is the log's line. `pid` is the process it is about, where
/// there is one, `exit` what is known of its death, if it is that.
pub(crate) fn describe(report: &Report, pid: Option<u32>, exit: Option<&Exit>) -> (Level, Event) {
    let (level, text) = line(report, pid, exit);
    let kind = match report {
        Report::Moved { .. } | Report::Assigned { .. } => "moved",
        Report::Died { .. } => "died",
        Report::Backoff { .. } => "backoff",
        Report::Phase { .. } => "phase",
        Report::Promoted { .. } => "promoted",
        Report::Pressure { .. } | Report::NoRoom { .. } => "pressure",
        Report::Slept { .. } => "slept",
        Report::Alarm(_) => "alarm",
    };
    let mut event = event(kind, text);
    event.pid = pid;
    match report {
        Report::Moved {
            instance,
            role,
            generation,
            from,
            to,
            reason,
        } => {
            about(&mut event, *instance, *role, *generation);
            event.from = Some(from.as_str().into());
            event.to = Some(to.as_str().into());
            event.reason = reason.map(|reason| reason.as_str().into());
        }
        Report::Died {
            instance,
            role,
            generation,
            reason,
            ..
        } => {
            about(&mut event, *instance, *role, *generation);
            let told = || reason.as_str().into();
            event.reason = Some(exit.map_or_else(told, |exit| exit.reason.clone()));
        }
        Report::Assigned {
            instance,
            slot,
            generation,
        } => about(&mut event, *instance, Role::Worker(*slot), *generation),
        Report::Backoff { role, .. } => event.slot = role.slot().map(|slot| slot.0),
        Report::Phase { from, to } => {
            event.from = Some(from.as_str().into());
            event.to = Some(to.as_str().into());
        }
        Report::Promoted { generation } => event.generation = Some(generation.0),
        Report::Pressure { from, to, .. } => {
            event.from = Some(from.to_string());
            event.to = Some(to.to_string());
        }
        Report::NoRoom { .. } | Report::Slept { .. } | Report::Alarm(_) => {}
    }
    (level, event)
}

fn about(event: &mut Event, instance: InstanceId, role: Role, generation: Generation) {
    event.instance = Some(instance.0);
    event.slot = role.slot().map(|slot| slot.0);
    event.generation = Some(generation.0);
}

fn line(report: &Report, pid: Option<u32>, exit: Option<&Exit>) -> (Level, String) {
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
            let who = who(*role, *instance, pid, *generation);
            (level, format!("{who}: {from} -> {to}{why}"))
        }
        Report::Died { .. } => death(report, pid, exit),
        Report::Assigned {
            instance,
            slot,
            generation,
        } => {
            let pid = pid.map(|pid| format!(" pid {pid}")).unwrap_or_default();
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
        Report::Pressure { from, to, why } => pressure_text(*from, *to, why),
        Report::NoRoom {
            available_bytes,
            needed_bytes,
        } => (Level::Warn, no_room_text(*available_bytes, *needed_bytes)),
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

/// The line of a death.
fn death(report: &Report, pid: Option<u32>, exit: Option<&Exit>) -> (Level, String) {
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
        return (Level::Info, String::new());
    };
    let who = who(*role, *instance, pid, *generation);
    let uptime = humantime::format_duration(*uptime);
    let told = || reason.as_str().to_owned();
    let summary = exit.map_or_else(told, |exit| exit.summary.clone());
    // A hang that ended by itself was drained: nothing was lost.
    let recovered = *reason == Reason::Hang && *status == Some(ExitStatus::Code(0));
    let as_told = exit.is_none_or(|exit| exit.reason == reason.as_str());
    let has_cut = exit.is_some_and(|exit| exit.requests_cut > 0);
    let level = match (is_planned(*reason) || recovered) && as_told {
        true if has_cut => Level::Warn,
        true => Level::Info,
        false => Level::Error,
    };
    (level, format!("{who} is gone after {uptime}: {summary}"))
}

/// `worker 2 #7 pid 4711 generation 1`
fn who(role: Role, instance: InstanceId, pid: Option<u32>, generation: Generation) -> String {
    let pid = pid.map(|pid| format!(" pid {pid}")).unwrap_or_default();
    format!("{role} {instance}{pid} generation {generation}")
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
pub(crate) fn how_it_ended(status: Option<ExitStatus>) -> String {
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
            size(*bytes),
            size(*limit)
        ),
        Alarm::FastLeak { slot, bytes } => format!(
            "worker {slot} is at {} soon after its start, like the one before it: a fast leak, or \
             a limit that is too low",
            size(*bytes)
        ),
    }
}

fn pressure_text(from: u8, to: u8, why: &str) -> (Level, String) {
    let level = if to > from { Level::Warn } else { Level::Info };
    let effect = pressure::effect(to);
    let text = format!("memory pressure: level {from} -> {to}: {why}; {effect}");
    (level, text)
}

fn no_room_text(available_bytes: u64, needed_bytes: u64) -> String {
    format!(
        "a worker needs {} and {} are left: until there is room, a replacement starts when its \
         predecessor is gone",
        size(needed_bytes),
        size(available_bytes)
    )
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

/// Whether an end for this reason is the pool's normal life.
pub(crate) const fn is_planned(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Memory | Reason::Lifetime | Reason::Reload | Reason::Scale | Reason::Stop
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hatchery_supervisor::Slot;
    use std::time::Duration;

    fn died(reason: Reason, requests_cut: u64, refined: Option<&str>) -> (Level, Event) {
        let report = Report::Died {
            instance: InstanceId(7),
            role: Role::Worker(Slot(2)),
            generation: Generation(3),
            reason,
            status: Some(ExitStatus::Code(0)),
            detail: None,
            uptime: Duration::from_secs(5),
        };
        let exit = Exit {
            reason: refined.unwrap_or(reason.as_str()).into(),
            summary: "as it was".into(),
            requests_cut,
            ..Exit::default()
        };
        describe(&report, Some(4711), Some(&exit))
    }

    #[test]
    fn a_death_is_one_event_with_its_line() {
        let (_, event) = died(Reason::Clean, 0, None);
        let text = "worker 2 #7 pid 4711 generation 3 is gone after 5s: as it was";
        assert_eq!((event.kind.as_str(), event.text.as_str()), ("died", text));
        assert_eq!((event.instance, event.pid), (Some(7), Some(4711)));
        assert_eq!((event.slot, event.generation), (Some(2), Some(3)));
        assert_eq!(event.reason.as_deref(), Some("clean"));
    }

    #[test]
    fn a_death_is_as_loud_as_it_deserves() {
        let table = [
            (Reason::Reload, 0, None, Level::Info),
            (Reason::Reload, 2, None, Level::Warn),
            (Reason::Reload, 0, Some("oom"), Level::Error),
            (Reason::Hang, 0, None, Level::Info),
            (Reason::Clean, 0, None, Level::Error),
        ];
        for (reason, cut, refined, level) in table {
            assert_eq!(
                died(reason, cut, refined).0,
                level,
                "{reason:?} {refined:?}"
            );
        }
    }
}
