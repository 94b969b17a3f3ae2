//! Shedding: while memory is very short, a thread serves half as much at once as it did before,
//! and refuses the rest at once, so that its clients can go elsewhere or come back.
//!
//! The measure is what this thread has had in flight at most in the last seconds before. It stays
//! until the shedding ends: taken anew from a thread that sheds, it would halve itself to nothing.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

/// Seconds of the past that count.
const SECONDS: usize = 8;

/// What a thread must have seen before it can tell what is usual.
const SEEN_MS_MIN: u64 = 1_000;

/// What a refused client is told to wait, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// Requests in flight on one thread, and how many there may be. Written by that thread only.
#[derive(Debug)]
pub(super) struct Load {
    in_flight: AtomicU32,
    /// Most at once since it was last asked.
    peak: AtomicU32,
    /// `u32::MAX`: as many as there are.
    limit: AtomicU32,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            limit: AtomicU32::new(u32::MAX),
        }
    }
}

impl Load {
    pub(super) fn begin(&self) {
        let now = self.in_flight.load(Relaxed).wrapping_add(1);
        self.in_flight.store(now, Relaxed);
        if now > self.peak.load(Relaxed) {
            self.peak.store(now, Relaxed);
        }
    }

    pub(super) fn end(&self) {
        let now = self.in_flight.load(Relaxed).wrapping_sub(1);
        self.in_flight.store(now, Relaxed);
    }

    /// Whether the request that began last is one too many.
    pub(super) fn is_excessive(&self) -> bool {
        self.in_flight.load(Relaxed) > self.limit.load(Relaxed)
    }

    /// The most at once since the last call.
    fn take_peak(&self) -> u32 {
        self.peak.swap(self.in_flight.load(Relaxed), Relaxed)
    }
}

/// The serving loop's memory of its load.
#[derive(Debug, Default)]
pub(super) struct Shedder {
    /// The most at once in each of the latest seconds of the thread's clock.
    peaks: [u32; SECONDS],
    /// The latest of them.
    second: u64,
}

impl Shedder {
    /// Takes note of the load at each tick, and sets its limit.
    pub(super) fn tick(&mut self, load: &Load, clock_ms: u64, is_shedding: bool) {
        self.note(clock_ms / 1000, load.take_peak());
        if !is_shedding {
            load.limit.store(u32::MAX, Relaxed);
        } else if load.limit.load(Relaxed) == u32::MAX && clock_ms >= SEEN_MS_MIN {
            let usual = self.peaks.into_iter().max().unwrap_or(0);
            load.limit.store((usual / 2).max(1), Relaxed);
        }
    }

    fn note(&mut self, second: u64, peak: u32) {
        let gone = second.saturating_sub(self.second).min(SECONDS as u64);
        for back in 0..gone {
            self.peaks[place(second - back)] = 0;
        }
        self.second = second;
        let now = &mut self.peaks[place(second)];
        *now = peak.max(*now);
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).unwrap_or(0)
}

/// What a request that is one too many gets.
pub(super) fn refusal() -> Response {
    let mut response = Response::new(Body::from("Service Unavailable: memory is short"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, text);
    headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(in_flight: u32) -> Load {
        let load = Load::default();
        (0..in_flight).for_each(|_| load.begin());
        load
    }

    #[test]
    fn half_of_the_usual_load_is_served() {
        let (load, mut shedder) = (load(9), Shedder::default());
        for _ in 0..6 {
            load.end();
        }
        shedder.tick(&load, 5_000, false);
        assert!(!load.is_excessive());
        shedder.tick(&load, 5_250, true);
        load.begin();
        assert!(!load.is_excessive(), "four of nine");
        load.begin();
        assert!(load.is_excessive(), "five of nine");
        // It does not shrink with what it has made of the load.
        for second in 6..100 {
            shedder.tick(&load, second * 1_000, true);
        }
        load.end();
        assert!(!load.is_excessive());
        load.begin();
        shedder.tick(&load, 100_250, false);
        assert!(!load.is_excessive());
    }

    #[test]
    fn one_request_at_a_time_is_always_served() {
        let (load, mut shedder) = (load(0), Shedder::default());
        shedder.tick(&load, 9_000, true);
        load.begin();
        assert!(!load.is_excessive());
        load.begin();
        assert!(load.is_excessive());
    }

    #[test]
    fn a_thread_looks_before_it_sheds() {
        let (load, mut shedder) = (load(3), Shedder::default());
        shedder.tick(&load, 750, true);
        assert!(!load.is_excessive());
        shedder.tick(&load, 1_000, true);
        assert!(load.is_excessive());
    }

    #[test]
    fn old_peaks_are_forgotten() {
        let mut shedder = Shedder::default();
        shedder.note(3, 40);
        shedder.note(4, 7);
        assert_eq!(shedder.peaks.into_iter().max(), Some(40));
        shedder.note(10, 5);
        assert_eq!(shedder.peaks.into_iter().max(), Some(40));
        shedder.note(11, 5);
        assert_eq!(shedder.peaks.into_iter().max(), Some(7));
        shedder.note(1_000, 1);
        assert_eq!(shedder.peaks.into_iter().max(), Some(1));
    }
}
