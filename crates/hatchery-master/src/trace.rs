//! Where a thread was: a stack from the flight recorder, as addresses at first, with names when a
//! short-lived process of the same executable has looked them up.
//!
//! Names cost a tenth of a second and tens of megabytes, and the debug information is read by a
//! library: all of that stays out of the master.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use hatchery_ipc::exits::InFlight;
use hatchery_supervisor::{Generation, InstanceId, Report, Time};
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::{Frame, Recorder, StackKind};
use serde::Deserialize;

use crate::check::{Check, Passed, Purpose, Question};
use crate::events::{event, now};
use crate::exits::{self, Remains};
use crate::journal::Level;
use crate::master::Master;

/// How long the names of a stack may take; without them it stays addresses. Less than a second, but on
/// a machine that is loaded enough to hang workers.
const NAMES_TIMEOUT: Duration = Duration::from_secs(15);

/// Most stacks that are being looked up at once.
const LOOKUPS_MAX: usize = 2;

/// Most lines of a stack: a frame has several where functions were inlined.
const LINES_MAX: usize = 96;

/// Longest line, bytes.
const LINE_MAX: usize = 400;

/// Code that everything passes through on its way into the kernel, or out of it: not where somebody
/// would look for the cause.
const PLUMBING: [&str; 21] = [
    "hatchery::",
    "<hatchery::",
    "axum::",
    "<axum::",
    "hyper::",
    "<hyper::",
    "std::",
    "core::",
    "alloc::",
    "<std::",
    "<core::",
    "<alloc::",
    "tokio::",
    "<tokio::",
    "rustix::",
    "libc::",
    "mio::",
    "parking_lot",
    "__",
    "0x",
    "?",
];

/// The same by the source file: names of inlined functions often lack their path.
const PLUMBING_FILES: [&str; 8] = [
    "(std/src/",
    "(core/src/",
    "(alloc/src/",
    "(tokio-",
    "(mio-",
    "(rustix-",
    "(parking_lot",
    "(libc-",
];

/// A line of the answer.
#[derive(Deserialize)]
struct Answer {
    offset: u64,
    /// Innermost first.
    frames: Vec<String>,
}

/// One thread's stack.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    frames: Vec<Frame>,
    /// A signal was about to end the process.
    is_crash: bool,
    /// Innermost first, once they are known.
    names: Option<Vec<String>>,
}

impl Trace {
    /// The stack of the crash, if there was one.
    pub(crate) fn of_crash(recorder: &Recorder) -> Option<Self> {
        let stacks = recorder.stacks().into_iter();
        let mut crashes = stacks.filter(|stack| matches!(stack.kind, StackKind::Crash(_)));
        Self::new(crashes.next()?.frames, true)
    }

    /// The same, where the signal was the master's own: it did not crash there, it was blocked there.
    pub(crate) fn of_abort(mut self) -> Self {
        self.is_crash = false;
        self
    }

    /// The stack of the serving thread that has not turned for longest, if it was recorded since.
    pub(crate) fn of_silent(page: &StatsPage, recorder: &Recorder, since: Time) -> Option<Self> {
        let ticks = page.ticks();
        let silent = (0..page.threads()).min_by_key(|&thread| ticks[thread])?;
        let stacks = recorder.stacks().into_iter();
        let mut asked = stacks.filter(|stack| {
            stack.kind == StackKind::Asked
                && stack.index == Some(silent)
                && stack.time_ms >= since.as_millis()
        });
        Self::new(asked.next()?.frames, false)
    }

    fn new(frames: Vec<Frame>, is_crash: bool) -> Option<Self> {
        (!frames.is_empty()).then_some(Self {
            frames,
            is_crash,
            names: None,
        })
    }

    pub(crate) const fn is_named(&self) -> bool {
        self.names.is_some()
    }

    /// What is to be looked up.
    fn offsets(&self) -> Vec<u64> {
        self.frames
            .iter()
            .filter_map(|frame| frame.offset)
            .collect()
    }

    /// Takes the names of the [offsets](Self::offsets), a line of JSON for each.
    fn name(&mut self, answer: &[u8]) {
        let answers: BTreeMap<u64, Vec<String>> = answer
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Answer>(line).ok())
            .map(|answer| (answer.offset, answer.frames))
            .collect();
        let mut names = Vec::new();
        for frame in &self.frames {
            let Some(offset) = frame.offset else {
                // Mostly several in a row: the C library on the way into the kernel.
                continue;
            };
            let known = answers.get(&offset).map_or(&[][..], Vec::as_slice);
            let doubt = if frame.is_guess { " (perhaps)" } else { "" };
            if known.is_empty() {
                names.push(format!("{offset:#x}{doubt}"));
            }
            names.extend(known.iter().map(|name| format!("{}{doubt}", cut(name))));
        }
        names.truncate(LINES_MAX);
        self.names = Some(names);
    }

    /// The stack for a report.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.names.clone().unwrap_or_else(|| {
            let line = |frame: &Frame| match frame.offset {
                Some(offset) => format!("{offset:#x}"),
                None => format!("{:#x} outside of the executable", frame.address),
            };
            self.frames.iter().map(line).collect()
        })
    }

    /// The innermost function that somebody wrote for this application.
    pub(crate) fn culprit(&self) -> Option<&str> {
        let names = self.names.as_ref()?;
        let is_own = |name: &&String| {
            !PLUMBING.iter().any(|start| name.starts_with(start))
                && !PLUMBING_FILES.iter().any(|file| name.contains(file))
                && !is_of_dependency(name)
        };
        let sure = |name: &&String| is_own(name) && !name.ends_with(" (perhaps)");
        let found = names
            .iter()
            .find(sure)
            .or_else(|| names.iter().find(is_own));
        found.map(String::as_str)
    }

    /// `blocked in shop::checkout (src/checkout.rs:15) by POST /orders`, as far as it is known.
    pub(crate) fn describe(trace: Option<&Self>, running: Option<&InFlight>) -> Option<String> {
        let culprit = trace.and_then(Self::culprit);
        let how = match trace {
            Some(trace) if trace.is_crash => "crashed",
            _ => "blocked",
        };
        let request = running.map(|request| format!("{} {}", request.method, request.path));
        match (culprit, request) {
            (Some(culprit), Some(request)) => Some(format!("{how} in {culprit} by {request}")),
            (Some(culprit), None) => Some(format!("{how} in {culprit}")),
            (None, Some(request)) => Some(format!("at {request}")),
            (None, None) => None,
        }
    }
}

/// Whether the source lies in a directory with a version in its name, as a registry's crates do.
fn is_of_dependency(name: &str) -> bool {
    let directory = name
        .rsplit_once(" (")
        .and_then(|(_, file)| file.split('/').next());
    let version = directory.and_then(|directory| directory.rsplit_once('-'));
    version.is_some_and(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()))
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(LINE_MAX)]
}

/// A report whose stack has no names yet.
#[derive(Debug)]
pub(crate) struct Unnamed {
    pub(crate) report: Report,
    pub(crate) remains: Remains,
    pub(crate) time: String,
}

impl Master {
    /// Has the names of a stack looked up by the executable that it comes from. Returns whether
    /// that has begun; it is no harm when not.
    pub(crate) fn look_up(
        &mut self,
        id: InstanceId,
        generation: Generation,
        trace: &Trace,
    ) -> bool {
        let lookups = self.checks.iter().filter(|check| check.is_lookup()).count();
        let offsets = trace.offsets();
        if lookups >= LOOKUPS_MAX || offsets.is_empty() {
            return false;
        }
        let Some(release) = self.releases.get(&generation) else {
            return false;
        };
        let mut arguments = vec![OsString::from("--symbolise")];
        arguments.extend(offsets.iter().map(|offset| format!("{offset:#x}").into()));
        let question = Question {
            purpose: Purpose::Names(id),
            arguments,
            state: None,
            cwd: &self.launch.base_dir,
            deadline: self.now + NAMES_TIMEOUT,
        };
        let started = release
            .program
            .try_clone()
            .and_then(|program| Check::start(program, question));
        match started {
            Ok(check) => self.await_check(check),
            Err(_) => return false,
        }
        true
    }

    /// The names are there, or will not come.
    pub(crate) fn looked_up(&mut self, id: InstanceId, result: Result<Passed, String>) {
        let Ok(passed) = result else {
            self.unnamed.remove(&id);
            return;
        };
        if let Some(unnamed) = self.unnamed.remove(&id) {
            return self.complete(unnamed, &passed.answer);
        }
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let running = process.running(self.now);
        let (role, pid, generation) = (process.role, process.pid, process.generation);
        let Some(trace) = process.notes.trace_mut() else {
            return;
        };
        trace.name(&passed.answer);
        let Some(place) = Trace::describe(Some(trace), running.as_ref()) else {
            return;
        };
        let mut event = event(
            "stack",
            format!("{role} {id} pid {pid} generation {generation} is {place}"),
        );
        event.instance = Some(id.0);
        event.pid = Some(pid);
        event.slot = role.slot().map(|slot| slot.0);
        event.generation = Some(generation.0);
        self.announce(Level::Warn, event);
    }

    /// Puts the names into the report of a death.
    fn complete(&mut self, unnamed: Unnamed, answer: &[u8]) {
        let Unnamed {
            report,
            mut remains,
            time,
        } = unnamed;
        if let Some(trace) = &mut remains.trace {
            trace.name(answer);
        }
        let place = Trace::describe(remains.trace.as_ref(), remains.running());
        let Some(exit) = exits::assemble(&report, &remains, time) else {
            return;
        };
        if let Some(place) = place {
            let slot = exit.slot.map(|slot| format!(" {slot}")).unwrap_or_default();
            let who = format!("{}{slot} #{} pid {}", exit.role, exit.instance, exit.pid);
            let mut event = event("stack", format!("{who} {place}"));
            event.instance = Some(exit.instance);
            event.pid = Some(exit.pid);
            event.slot = exit.slot;
            event.generation = Some(exit.generation);
            event.reason = Some(exit.reason.clone());
            self.announce(Level::Error, event);
        }
        self.reports.replace(exit);
    }

    /// The report of a death; its stack gets its names later.
    pub(crate) fn report_death(&mut self, report: &Report) -> Option<hatchery_ipc::exits::Exit> {
        let Report::Died {
            instance,
            generation,
            ..
        } = report
        else {
            return None;
        };
        let remains = self.remains.remove(instance).unwrap_or_default();
        let time = now();
        let exit = exits::assemble(report, &remains, time.clone())?;
        let unnamed = remains.trace.clone().filter(|trace| !trace.is_named());
        if let Some(trace) = unnamed
            && (self.is_looked_up(*instance) || self.look_up(*instance, *generation, &trace))
        {
            let report = report.clone();
            self.unnamed.insert(
                *instance,
                Unnamed {
                    report,
                    remains,
                    time,
                },
            );
        }
        Some(exit)
    }

    fn is_looked_up(&self, id: InstanceId) -> bool {
        let mut checks = self.checks.iter();
        checks.any(|check| check.purpose == Purpose::Names(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(frames: &[(Option<u64>, bool)]) -> Trace {
        let frame = |&(offset, is_guess): &(Option<u64>, bool)| Frame {
            address: 0x7f00_1234,
            offset,
            is_guess,
        };
        Trace::new(frames.iter().map(frame).collect(), false).unwrap()
    }

    #[test]
    fn the_culprit_is_the_innermost_function_of_the_application() {
        let mut trace = trace(&[
            (None, false),
            (Some(1), true),
            (Some(2), false),
            (Some(3), false),
        ]);
        assert_eq!(trace.lines()[0], "0x7f001234 outside of the executable");
        assert_eq!(trace.culprit(), None);
        trace.name(
            br#"{"offset":1,"frames":["shop::old (src/old.rs:1)"]}
                {"offset":2,"frames":["park (std/src/thread.rs:1)","shop::pay (src/pay.rs:7)"]}
                {"offset":3,"frames":["shop::main (src/main.rs:1)"]}
            "#,
        );
        assert_eq!(trace.culprit(), Some("shop::pay (src/pay.rs:7)"));
        assert_eq!(trace.lines()[0], "shop::old (src/old.rs:1) (perhaps)");
        let request = InFlight {
            method: "POST".into(),
            path: "/pay".into(),
            age_ms: 1,
            running: true,
        };
        assert_eq!(
            Trace::describe(Some(&trace), Some(&request)).unwrap(),
            "blocked in shop::pay (src/pay.rs:7) by POST /pay"
        );
        assert_eq!(
            Trace::describe(None, Some(&request)).unwrap(),
            "at POST /pay"
        );
    }

    #[test]
    fn an_answer_that_is_none_leaves_addresses() {
        let mut trace = trace(&[(Some(0x10), false), (Some(0x20), false)]);
        trace.name(b"{\"offset\":16,\"frames\":[]}\nnonsense");
        assert_eq!(trace.lines(), ["0x10", "0x20"]);
        assert_eq!(trace.culprit(), None);
    }
}
