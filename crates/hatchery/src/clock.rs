//! The application's clock, which tests can set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What time it is, for code that tests want to tell the time: `app.clock().now()`.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// let clock = hatchery::Clock::default();
/// let newyear = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
/// clock.mock(newyear);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), newyear + Duration::from_secs(60));
/// clock.restore();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_mocked: AtomicBool,
    mocked: Mutex<Option<SystemTime>>,
}

impl Clock {
    /// The time: the system's, unless a test has set another.
    pub fn now(&self) -> SystemTime {
        if !self.0.is_mocked.load(Ordering::Relaxed) {
            return SystemTime::now();
        }
        let mocked = self.0.mocked.lock();
        mocked
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_else(SystemTime::now)
    }

    /// Stands still at `now` from here on, until it is advanced.
    pub fn mock(&self, now: SystemTime) {
        self.set(|_| Some(now));
    }

    /// Moves on by `by`, and stands still there.
    pub fn advance(&self, by: Duration) {
        self.set(|now| Some(now.unwrap_or_else(SystemTime::now) + by));
    }

    /// Goes with the system's time again.
    pub fn restore(&self) {
        self.set(|_| None);
    }

    fn set(&self, change: impl FnOnce(Option<SystemTime>) -> Option<SystemTime>) {
        let mut mocked = self.0.mocked.lock().unwrap_or_else(PoisonError::into_inner);
        *mocked = change(*mocked);
        self.0.is_mocked.store(mocked.is_some(), Ordering::Relaxed);
    }
}
