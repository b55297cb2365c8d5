//! A limit on how often a visitor may do something.

use std::time::{Duration, Instant};

/// A bucket of tokens: `burst` at once, then one each `interval`.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    interval: Duration,
    /// The moment at which the bucket is full again.
    full_at: Instant,
}

impl Bucket {
    pub(crate) const fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self { burst, interval, full_at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + self.interval;
        let ahead = full_at.duration_since(now);
        let most = self.interval * self.burst;
        if ahead > most {
            return Err(ahead - most);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, SECOND, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(SECOND));
        assert_eq!(bucket.take(start + SECOND / 4), Err(SECOND * 3 / 4));
        assert_eq!(bucket.take(start + SECOND), Ok(()));
        assert_eq!(bucket.take(start + SECOND), Err(SECOND));
    }

    #[test]
    fn after_a_pause_the_whole_burst_passes_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2, SECOND, start);
        for now in [start, start + 10 * SECOND] {
            assert_eq!((bucket.take(now), bucket.take(now)), (Ok(()), Ok(())));
            assert_eq!(bucket.take(now), Err(SECOND));
        }
    }
}
