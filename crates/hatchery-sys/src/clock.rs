//! The one clock that the master and its children share.
//!
//! Ticks in a shared page are written by one process and judged by another, so both must read the
//! same clock. `CLOCK_MONOTONIC` has one origin for the whole machine, never jumps when the date is
//! set, and does not count while the machine sleeps, so that a suspended laptop does not wake up to
//! workers which all look hung.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of `CLOCK_MONOTONIC`, comparable between processes of one machine.
///
/// The origin is the machine's start. It costs no system call (vDSO).
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither part is negative on this clock.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let millis = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
    seconds.saturating_mul(1000).saturating_add(millis)
}

/// Microseconds of `CLOCK_MONOTONIC`; the unit that service managers want with `RELOADING=1`.
pub fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let micros = u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
    seconds.saturating_mul(1_000_000).saturating_add(micros)
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn the_clock_advances_as_instant_does() {
        let (start_ms, start) = (monotonic_ms(), Instant::now());
        while start.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        // The first pair of readings may be apart by a pre-emption, hence no upper bound below.
        assert!(monotonic_ms() - start_ms >= 20);
    }

    #[test]
    fn both_units_tell_the_same_time() {
        let before = monotonic_ms();
        let between = monotonic_us() / 1000;
        let after = monotonic_ms();
        assert!(
            before <= between && between <= after,
            "{before} {between} {after}"
        );
    }
}
