//! Deaths by SIGKILL that nobody here caused, matched with the kernel's count of those that it has
//! killed for want of memory.

use std::time::Duration;

use hatchery_supervisor::Time;
use hatchery_sys::proc::OomKills;
use serde::{Deserialize, Serialize};

/// How long a rise of the count may wait for its death: a large process takes time to end. One that
/// nobody claims was another process's of the group, such as a worker's helper.
const FRESH: Duration = Duration::from_secs(10);

/// The count, and its rises that no death has claimed.
#[derive(Debug)]
pub(crate) struct OomWatch {
    kills: Option<OomKills>,
    rises: Rises,
}

/// What has been seen of the count.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rises {
    /// The count as last read; `None` before the first look.
    last: Option<u64>,
    unclaimed: u64,
    risen_at: Time,
}

impl OomWatch {
    pub(crate) fn new(now: Time) -> Self {
        let mut watch = Self {
            kills: OomKills::find(),
            rises: Rises::default(),
        };
        watch.look(now);
        watch
    }

    /// What the next image is to know: a kill in between explains a death that it buries.
    pub(crate) fn save(&self) -> Rises {
        let Self { kills: _, rises } = self;
        rises.clone()
    }

    pub(crate) fn restore(rises: Rises) -> Self {
        Self {
            kills: OomKills::find(),
            rises,
        }
    }

    /// Reads the count; often enough that a rise of long ago is not taken for one of now.
    pub(crate) fn look(&mut self, now: Time) {
        if let Some(count) = self.kills.as_ref().and_then(OomKills::count) {
            self.rises.look(count, now);
        }
    }

    /// Whether a death that was just seen is one that was counted. One death claims one rise.
    pub(crate) fn claim(&mut self, now: Time) -> bool {
        self.look(now);
        self.rises.claim()
    }
}

impl Rises {
    fn look(&mut self, count: u64, now: Time) {
        let rise = count.saturating_sub(self.last.unwrap_or(count));
        self.last = Some(count);
        if rise > 0 {
            self.unclaimed += rise;
            self.risen_at = now;
        } else if now.since(self.risen_at) > FRESH {
            self.unclaimed = 0;
        }
    }

    fn claim(&mut self) -> bool {
        let claimed = self.unclaimed > 0;
        self.unclaimed = self.unclaimed.saturating_sub(1);
        claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn one_death_claims_one_rise() {
        let mut rises = Rises::default();
        rises.look(7, at(0));
        assert!(!rises.claim(), "what was before us is not ours");
        rises.look(9, at(1));
        assert!(rises.claim());
        assert!(rises.claim());
        assert!(!rises.claim());
    }

    #[test]
    fn an_old_rise_explains_nothing() {
        let mut rises = Rises::default();
        rises.look(0, at(0));
        rises.look(1, at(1));
        rises.look(1, at(11));
        assert!(rises.claim(), "it took long to die");
        rises.look(2, at(20));
        rises.look(2, at(31));
        assert!(!rises.claim());
    }

    #[test]
    fn a_count_that_begins_anew_is_followed() {
        let mut rises = Rises::default();
        rises.look(5, at(0));
        rises.look(0, at(1));
        assert!(!rises.claim());
        rises.look(1, at(2));
        assert!(rises.claim());
    }
}
