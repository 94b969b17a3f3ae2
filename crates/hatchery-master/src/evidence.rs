//! What can be learnt of an instance while it is silent: its threads by `/proc`, looked at twice
//! so that one that burns a processor is told from one that waits.
//!
//! It is kept for the report, should the silence end by force. All of it is read from outside: a
//! process that is stopped or stuck in the kernel is described as well.

use std::collections::BTreeMap;
use std::time::Duration;

use hatchery_ipc::child::ToChild;
use hatchery_supervisor::{InstanceId, State, Time};
use hatchery_sys::proc::{self, Thread};

use crate::master::Master;
use crate::trace::Trace;

/// Between the two looks of a pair.
const GAP: Duration = Duration::from_millis(120);

/// Between the second look of one pair and the first of the next.
const PAUSE: Duration = Duration::from_millis(880);

/// Most lines of evidence.
const LINES_MAX: usize = 16;

/// What is known of one silence.
#[derive(Debug)]
pub(crate) struct Inquiry {
    /// When it began.
    since: Time,
    /// The first look of a pair, and when it was.
    first: Option<(Time, Vec<Thread>)>,
    /// When to look again; `None` when the silence is over, however.
    next_at: Option<Time>,
    /// What the last pair has shown, a thread a line.
    pub(crate) lines: Vec<String>,
    /// Where its silent thread is, as first recorded.
    pub(crate) trace: Option<Trace>,
}

impl Inquiry {
    pub(crate) const fn next_at(&self) -> Option<Time> {
        self.next_at
    }
}

impl Master {
    /// An instance is silent: begins to look into it.
    pub(crate) fn inquire(&mut self, id: InstanceId) {
        if let Some(process) = self.processes.get_mut(&id) {
            process.notes.inquiry = Some(Inquiry {
                since: self.now,
                first: None,
                next_at: Some(self.now),
                lines: Vec::new(),
                trace: None,
            });
            self.inquire_on(id);
        }
    }

    /// Goes on with those whose next look is due.
    pub(crate) fn inquire_on_all(&mut self) {
        let due = |at: Option<Time>| at.is_some_and(|at| self.now >= at);
        let due: Vec<InstanceId> = self
            .processes
            .values()
            .filter(|process| due(process.notes.next_look()))
            .map(|process| process.id)
            .collect();
        for id in due {
            self.inquire_on(id);
        }
    }

    fn inquire_on(&mut self, id: InstanceId) {
        let state = self.state_of(id);
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let Some(inquiry) = &mut process.notes.inquiry else {
            return;
        };
        match state {
            Some(State::Suspect) => {}
            // It serves on: where it was then does not explain how it ends one day.
            Some(State::Ready) => {
                process.notes.inquiry = None;
                return;
            }
            _ => {
                inquiry.next_at = None;
                return;
            }
        }
        // A process that has just ended shows no threads; what was seen before is kept.
        let threads = proc::threads(process.pid).unwrap_or_default();
        if let Some((at, before)) = inquiry.first.take() {
            let lines = describe(&before, &threads, now.since(at));
            if !lines.is_empty() {
                inquiry.lines = lines;
            }
            inquiry.next_at = Some(now + PAUSE);
            if inquiry.trace.is_none() {
                let trace = Trace::of_silent(&process.page, &process.recorder, inquiry.since);
                inquiry.trace.clone_from(&trace);
                let generation = process.generation;
                if let Some(trace) = trace {
                    self.look_up(id, generation, &trace);
                }
            }
            return;
        }
        inquiry.first = Some((now, threads));
        inquiry.next_at = Some(now + GAP);
        process.notes.rss_bytes = proc::rss_bytes(process.pid).unwrap_or(process.notes.rss_bytes);
        // One of an older protocol records no stacks; a full socket means that it hears nothing.
        let _ = process.tell(&ToChild::Stack, &[]);
    }
}

/// The threads of a process as lines, those that had the processor first.
fn describe(before: &[Thread], after: &[Thread], gap: Duration) -> Vec<String> {
    let before: BTreeMap<u32, &Thread> = before.iter().map(|thread| (thread.tid, thread)).collect();
    let mut seen: Vec<(u64, String)> = after
        .iter()
        .map(|thread| {
            let earlier = before.get(&thread.tid).map_or(thread.cpu_ms, |t| t.cpu_ms);
            let cpu_ms = thread.cpu_ms.saturating_sub(earlier);
            let gap_ms = gap.as_millis();
            let line = format!(
                "thread {} {:?}: {}, {cpu_ms} ms of CPU in {gap_ms} ms",
                thread.tid,
                thread.name,
                doing(thread)
            );
            (cpu_ms, line)
        })
        .collect();
    // Stable: equal ones stay in the order of their numbers.
    seen.sort_by_key(|(cpu_ms, _)| std::cmp::Reverse(*cpu_ms));
    seen.truncate(LINES_MAX);
    seen.into_iter().map(|(_, line)| line).collect()
}

/// `runs`, `sleeps in futex (futex_do_wait)`, `is stopped`.
fn doing(thread: &Thread) -> String {
    let state = match thread.state {
        'R' => return "runs".into(),
        'S' => "sleeps",
        'D' => "waits unkillably",
        'T' => return "is stopped".into(),
        't' => return "is held by a debugger".into(),
        'Z' | 'X' => return "is dead".into(),
        'I' => "idles",
        other => return format!("is in state {other}"),
    };
    let call = thread.syscall.map(|number| {
        proc::syscall_name(number).map_or_else(|| format!("system call {number}"), Into::into)
    });
    match (call, &thread.wchan) {
        (Some(call), Some(wchan)) => format!("{state} in {call} ({wchan})"),
        (Some(one), None) => format!("{state} in {one}"),
        (None, Some(one)) => format!("{state} in {one}"),
        (None, None) => state.into(),
    }
}

/// Whether each thread was stopped when last seen: the process was, by a signal from outside.
pub(crate) fn is_stopped(lines: &[String]) -> bool {
    !lines.is_empty() && lines.iter().all(|line| line.contains(": is stopped, "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32, state: char, cpu_ms: u64) -> Thread {
        Thread {
            tid,
            name: "shop w0".into(),
            state,
            cpu_ms,
            wchan: None,
            syscall: None,
        }
    }

    #[test]
    fn who_had_the_processor_comes_first() {
        let before = [thread(1, 'S', 40), thread(2, 'R', 10)];
        let mut after = [thread(1, 'S', 40), thread(2, 'R', 130), thread(3, 'D', 7)];
        after[0].syscall = Some(-1);
        after[0].wchan = Some("futex_do_wait".into());
        let lines = describe(&before, &after, Duration::from_millis(121));
        assert_eq!(
            lines,
            [
                "thread 2 \"shop w0\": runs, 120 ms of CPU in 121 ms",
                "thread 1 \"shop w0\": sleeps in system call -1 (futex_do_wait), 0 ms of CPU in \
                 121 ms",
                "thread 3 \"shop w0\": waits unkillably, 0 ms of CPU in 121 ms",
            ]
        );
    }

    #[test]
    fn a_stopped_process_is_known() {
        let stopped = [thread(1, 'T', 0), thread(2, 'T', 0)];
        let gap = Duration::from_millis(100);
        assert!(is_stopped(&describe(&[], &stopped, gap)));
        let half = [thread(1, 'T', 0), thread(2, 'S', 0)];
        assert!(!is_stopped(&describe(&[], &half, gap)));
        assert!(!is_stopped(&[]));
    }

    #[test]
    fn many_threads_make_few_lines() {
        let many: Vec<_> = (0..100).map(|tid| thread(tid, 'S', 0)).collect();
        assert_eq!(describe(&[], &many, Duration::ZERO).len(), LINES_MAX);
    }
}
