//! Who has to go, and when: pure rules over phases and times.

use std::time::Duration;

use super::Limits;
use super::state::{Phase, Request, Seen};

/// How long what a client still sends after its last response is read and thrown away.
const LINGER_MS: u64 = 2_000;

/// Over what time the idle connections of a draining thread are closed, so that their clients do
/// not come back all at once.
const SPREAD_MS: u64 = 1_000;

/// The time-outs of one thread's connections, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    header_ms: u64,
    keep_alive_ms: u64,
    /// While draining: for how long yet idle connections are kept.
    drain: Option<Drain>,
}

/// How far the drain is.
#[derive(Clone, Copy, Debug)]
struct Drain {
    age_ms: u64,
    idle_grace_ms: u64,
}

impl Patience {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            header_ms: millis(limits.header_timeout),
            keep_alive_ms: millis(limits.keep_alive_timeout),
            drain: None,
        }
    }

    /// The same, for a thread that began to drain `age` ago.
    pub(super) fn draining(mut self, age: Duration, idle_grace: Duration) -> Self {
        self.drain = Some(Drain {
            age_ms: millis(age),
            idle_grace_ms: millis(idle_grace),
        });
        self
    }

    /// What to ask of a connection. `key` is its place in the registry, which spreads the closing
    /// of idle ones.
    pub(super) fn verdict(&self, seen: &Seen, key: usize) -> Request {
        let age_ms = seen.age_ms;
        match seen.phase {
            Phase::New | Phase::Header if age_ms >= self.header_ms => Request::Drop,
            // It may still read a response; its age begins anew with each write.
            Phase::Leaving if age_ms >= self.keep_alive_ms => Request::Drop,
            Phase::Lingering if age_ms >= LINGER_MS => Request::Drop,
            // A handler waits for a body that does not come.
            Phase::Busy if seen.body_age_ms >= self.keep_alive_ms => Request::Drop,
            // The client takes nothing of its response. It cannot be told to leave, only be cut.
            Phase::Idle if seen.is_blocked && age_ms >= self.keep_alive_ms => Request::Drop,
            Phase::Idle if seen.is_blocked && !seen.is_http2 => Request::None,
            // An HTTP/2 client is told at once; what it has begun is finished.
            Phase::Busy | Phase::Idle if seen.is_http2 && self.drain.is_some() => Request::Leave,
            Phase::Idle if age_ms >= self.keep_alive_ms => Request::Leave,
            // A client that is about to send its next request would lose it: it is told with its
            // next response, and only those without one are closed in the end.
            Phase::New | Phase::Idle if self.grace_is_over(key) => Request::Leave,
            _ => Request::None,
        }
    }

    fn grace_is_over(&self, key: usize) -> bool {
        self.drain
            .is_some_and(|drain| drain.age_ms >= drain.idle_grace_ms + spread_ms(key))
    }
}

/// A place in the spread: neighbours in the registry are far apart.
fn spread_ms(key: usize) -> u64 {
    // Fibonacci hashing; the high bits are the good ones.
    let hash = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (hash * SPREAD_MS) >> 32
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience::new(&Limits::default())
    }

    fn seen(phase: Phase, age_ms: u64) -> Seen {
        Seen {
            phase,
            age_ms,
            body_age_ms: 0,
            is_http2: false,
            is_blocked: false,
        }
    }

    #[test]
    fn each_phase_has_its_time() {
        let check = |phase, age_ms, expected| {
            let verdict = patience().verdict(&seen(phase, age_ms), 7);
            assert_eq!(verdict, expected, "{phase:?} {age_ms}");
        };
        check(Phase::New, 9_999, Request::None);
        check(Phase::New, 10_000, Request::Drop);
        check(Phase::Header, 10_000, Request::Drop);
        check(Phase::Busy, 3_600_000, Request::None);
        check(Phase::Idle, 74_999, Request::None);
        check(Phase::Idle, 75_000, Request::Leave);
        check(Phase::Leaving, 75_000, Request::Drop);
        check(Phase::Lingering, 1_999, Request::None);
        check(Phase::Lingering, 2_000, Request::Drop);
    }

    #[test]
    fn idle_connections_keep_their_grace_and_then_go_one_by_one() {
        let at = |ms, key| {
            let patience =
                patience().draining(Duration::from_millis(ms), Duration::from_millis(500));
            patience.verdict(&seen(Phase::Idle, 0), key)
        };
        let gone = |ms| {
            (0..1000)
                .filter(|&key| at(ms, key) == Request::Leave)
                .count()
        };
        assert_eq!(gone(499), 0);
        assert!((100..300).contains(&gone(700)), "{}", gone(700));
        assert!((400..600).contains(&gone(1000)), "{}", gone(1000));
        assert_eq!(gone(500 + SPREAD_MS), 1000);
    }

    #[test]
    fn http2_clients_are_told_at_once() {
        let patience = patience().draining(Duration::ZERO, Duration::from_secs(5));
        let verdict = |phase, is_http2| {
            let seen = Seen {
                is_http2,
                ..seen(phase, 0)
            };
            patience.verdict(&seen, 0)
        };
        assert_eq!(verdict(Phase::Busy, true), Request::Leave);
        assert_eq!(verdict(Phase::Idle, true), Request::Leave);
        assert_eq!(verdict(Phase::Leaving, true), Request::None);
        assert_eq!(verdict(Phase::Busy, false), Request::None);
    }

    #[test]
    fn who_neither_sends_nor_reads_is_cut() {
        let body_age = |body_age_ms| {
            let seen = Seen {
                body_age_ms,
                ..seen(Phase::Busy, 3_600_000)
            };
            patience().verdict(&seen, 0)
        };
        assert_eq!(body_age(74_999), Request::None);
        assert_eq!(body_age(75_000), Request::Drop);
        let blocked = |age_ms| {
            let seen = Seen {
                is_blocked: true,
                ..seen(Phase::Idle, age_ms)
            };
            let patience = patience().draining(Duration::from_mins(1), Duration::ZERO);
            patience.verdict(&seen, 0)
        };
        assert_eq!(blocked(74_999), Request::None);
        assert_eq!(blocked(75_000), Request::Drop);
    }
}
