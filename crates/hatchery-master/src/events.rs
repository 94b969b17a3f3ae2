//! What has happened to the pool: the last of it in memory, numbered, for whoever asks or follows.
//!
//! A reader is a place in this ring, not a queue of its own: one that is too slow finds that what
//! it wanted has been overwritten, sees a gap in the numbers, and costs nobody anything.

use std::collections::VecDeque;
use std::time::SystemTime;

use hatchery_ipc::events::{Event, KEPT_MAX};
use serde::{Deserialize, Serialize};

/// The last [`KEPT_MAX`] events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Events {
    /// Their numbers have no gaps.
    kept: VecDeque<Event>,
    /// The number of the newest, 0 before the first.
    last: u64,
}

impl Events {
    /// Keeps an event, with the next number and the time of now.
    pub(crate) fn push(&mut self, mut event: Event) {
        self.last += 1;
        event.seq = self.last;
        event.time = now();
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
    }

    /// The oldest kept event with this number or a later one.
    pub(crate) fn at(&self, seq: u64) -> Option<&Event> {
        let first = self.kept.front()?.seq;
        let index = usize::try_from(seq.saturating_sub(first)).ok()?;
        self.kept.get(index)
    }

    /// The number of the newest, 0 before the first.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }
}

/// An event of a kind, with the line that people read; the rest is for whoever knows more.
pub(crate) fn event(kind: &str, text: impl Into<String>) -> Event {
    Event {
        kind: kind.into(),
        text: text.into(),
        ..Event::default()
    }
}

/// The time of day as the contracts write it: RFC 3339 in UTC, milliseconds.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_too_slow_finds_a_gap() {
        let mut events = Events::default();
        assert!(events.at(1).is_none());
        for number in 1..=KEPT_MAX + 10 {
            events.push(event("phase", number.to_string()));
        }
        let last = events.last();
        assert_eq!(last, KEPT_MAX as u64 + 10);
        assert_eq!(events.at(1).unwrap().seq, 11);
        assert_eq!(events.at(500).unwrap().text, "500");
        assert_eq!(events.at(last).unwrap().seq, last);
        assert!(events.at(last + 1).is_none());
        assert!(events.at(u64::MAX).is_none());
    }
}
