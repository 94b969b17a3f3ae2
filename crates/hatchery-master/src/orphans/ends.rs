//! What is told of an orphan: events in its life, and a report of its end.

use hatchery_ipc::events::Event;
use hatchery_ipc::exits::Exit;
use hatchery_supervisor::Time;

use super::Orphan;
use crate::{events, exits};

impl Orphan {
    /// An event about it; `what` follows its name in the log.
    pub(super) fn event(&self, to: &str, what: &str) -> Event {
        Event {
            instance: Some(self.report.instance),
            pid: Some(self.pid),
            slot: self.report.slot,
            generation: Some(self.report.generation),
            to: Some(to.into()),
            ..events::event("orphan", format!("{} {what}", self.name()))
        }
    }

    /// The report of its end. Its status went to whoever adopted it; what it left in its pages is
    /// known.
    pub(super) fn exit(&self, now: Time) -> Exit {
        let requests_cut = self.page.in_flight().min(exits::CUT_MAX);
        let connections_cut = self.page.connections().min(exits::CUT_MAX);
        let is_clean = self.report.draining && requests_cut == 0 && connections_cut == 0;
        let why = match (is_clean, self.is_killed) {
            (true, false) => "drained",
            (_, true) => "did not end in time and was killed",
            (false, false) => "nobody knows how it ended",
        };
        let summary = match requests_cut {
            0 => format!("orphan, {why}"),
            1 => format!("orphan, {why}; 1 request cut"),
            cut => format!("orphan, {why}; {cut} requests cut"),
        };
        let recorder = self.recorder.as_ref();
        Exit {
            instance: self.report.instance,
            slot: self.report.slot,
            pid: self.pid,
            role: self.report.role.clone(),
            generation: self.report.generation,
            reason: if is_clean { "clean" } else { "exit" }.into(),
            in_flight: recorder.map_or_else(Vec::new, |recorder| {
                exits::in_flight(&recorder.in_flight(now.as_millis()))
            }),
            requests_cut,
            connections_cut,
            time: events::now(),
            summary,
            ..Exit::default()
        }
    }
}
