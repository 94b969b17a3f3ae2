//! A small seeded generator for jitter. Not for secrets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `SplitMix64`: one 64-bit state, passes the usual statistical tests, and the same seed gives the
/// same numbers on every machine and in every release.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `base` changed by up to `percent` per cent (at most 100) in either direction, in whole
    /// milliseconds.
    pub(crate) fn jitter(&mut self, base: Duration, percent: u32) -> Duration {
        let base_ms = u64::try_from(base.as_millis()).unwrap_or(u64::MAX / 200);
        let spread_ms = base_ms / 100 * u64::from(percent.min(100))
            + base_ms % 100 * u64::from(percent.min(100)) / 100;
        let offset_ms = self.next() % (2 * spread_ms + 1);
        Duration::from_millis(base_ms - spread_ms + offset_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_inside_its_spread_and_uses_it() {
        let mut rng = Rng::new(7);
        let draws: Vec<u128> = (0..1000)
            .map(|_| rng.jitter(Duration::from_secs(10), 20).as_millis())
            .collect();
        assert!(draws.iter().all(|ms| (8_000..=12_000).contains(ms)));
        assert!(draws.iter().any(|ms| *ms < 8_500) && draws.iter().any(|ms| *ms > 11_500));
        assert_eq!(rng.jitter(Duration::ZERO, 20), Duration::ZERO);
    }
}
