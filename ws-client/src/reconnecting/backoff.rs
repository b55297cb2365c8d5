//! The delay before an attempt: exponential back-off with full jitter.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// How long to wait before the next attempt.
///
/// The delay is uniform between zero and a limit. The limit is `base` after the end of a healthy connection and after
/// the first failed attempt, doubles with each further failure, and never exceeds `cap`. Clients that lose their server
/// at the same time therefore come back spread over the whole window, and not in waves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// Creates a back-off with full jitter. A `cap` below `base` counts as `base`. The default is 0.5 s and 30 s.
    #[must_use]
    pub fn full_jitter(base: Duration, cap: Duration) -> Self {
        Self { base, cap: cap.max(base) }
    }

    /// Returns the limit of the delay after this many failures in a row. Zero counts as one.
    #[must_use]
    pub fn limit(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::full_jitter(Duration::from_millis(500), Duration::from_secs(30))
    }
}

/// The random part of delays. Equal seeds give equal delays.
pub(super) struct Jitter(ChaCha8Rng);

impl Jitter {
    pub(super) fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Takes a seed from the operating system. Jitter needs no secret, so if there is none, the keys of a
    /// hash map will do.
    pub(super) fn from_os() -> Self {
        let seed = ws_tokio::internal::random_seed().unwrap_or_else(|_| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
            seed
        });
        Self::from_seed(seed)
    }

    /// Returns a duration below `limit`, all equally likely.
    pub(super) fn below(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let nanos = (u128::from(limit) * u128::from(self.0.next_u64())) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_limit_doubles_with_each_failure_up_to_the_cap() {
        let backoff = Backoff::default();
        let limits = [(0, 500), (1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 30_000), (u32::MAX, 30_000)];
        for (failures, limit) in limits {
            assert_eq!(backoff.limit(failures), millis(limit), "{failures}");
        }
        assert_eq!(Backoff::full_jitter(millis(10), millis(1)).limit(5), millis(10));
        assert_eq!(Backoff::full_jitter(Duration::MAX, Duration::MAX).limit(40), Duration::MAX);
        assert_eq!(Backoff::full_jitter(Duration::ZERO, Duration::ZERO).limit(40), Duration::ZERO);
    }

    #[test]
    fn delays_are_uniform_below_their_limit() {
        const BINS: usize = 20;
        const DRAWS: usize = 20_000;
        let (mut jitter, limit) = (Jitter::from_seed([1; 32]), millis(30_000));
        let mut bins = [0_usize; BINS];
        for _ in 0..DRAWS {
            let delay = jitter.below(limit);
            assert!(delay < limit);
            bins[(delay.as_millis() * BINS as u128 / limit.as_millis()) as usize] += 1;
        }
        // Six standard deviations.
        assert!(bins.iter().all(|count| count.abs_diff(DRAWS / BINS) < 190), "{bins:?}");
        assert_eq!(jitter.below(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn equal_seeds_give_equal_delays() {
        let delays = |seed| {
            let mut jitter = Jitter::from_seed([seed; 32]);
            [(); 8].map(|()| jitter.below(millis(1000)))
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }
}
