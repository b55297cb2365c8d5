use std::time::Duration;

use ws_tokio::internal::TimeCounters;

/// Times, counted in buckets whose bounds are powers of two microseconds.
///
/// Bucket 0 has the times below 1 µs, bucket `n` those from 2^(n - 1) µs to less than 2^n µs, and the last bucket all
/// longer times, from 2^38 µs (about three days).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; Self::BUCKETS],
    sum_micros: u64,
}

impl Histogram {
    /// The number of buckets.
    pub const BUCKETS: usize = TimeCounters::BUCKETS;

    pub(crate) const fn new(buckets: [u64; Self::BUCKETS], sum_micros: u64) -> Self {
        Self { buckets, sum_micros }
    }

    /// The upper bound of a bucket, which is not part of it. `None` for the last bucket, which has no bound, and
    /// beyond.
    #[must_use]
    pub const fn upper_bound(bucket: usize) -> Option<Duration> {
        if bucket + 1 < Self::BUCKETS { Some(Duration::from_micros(1 << bucket)) } else { None }
    }

    /// How many times each bucket has counted.
    #[must_use]
    pub const fn buckets(&self) -> &[u64; Self::BUCKETS] {
        &self.buckets
    }

    /// The number of times.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all times, each in whole microseconds.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }

    /// The mean. `None` without a time.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.sum_micros.checked_div(self.count()).map(Duration::from_micros)
    }

    /// An upper bound of the `quantile`, such as 0.5 or 0.99: at least that part of the times is shorter. At most twice
    /// the exact value. `None` without a time, and if it is in the last bucket.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        let rank = (quantile.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|in_bucket| {
            seen += in_bucket;
            seen >= rank
        })?;
        Self::upper_bound(bucket)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new([0; Self::BUCKETS], 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &micros in micros {
            histogram.buckets[TimeCounters::bucket_of(micros)] += 1;
            histogram.sum_micros += micros;
        }
        histogram
    }

    #[test]
    fn each_time_is_below_the_bound_of_its_bucket_and_not_below_that_of_the_bucket_before() {
        for micros in [0, 1, 2, 3, 4, 1000, 1023, 1024, (1 << 38) - 1] {
            let bucket = TimeCounters::bucket_of(micros);
            let time = Duration::from_micros(micros);
            assert!(time < Histogram::upper_bound(bucket).unwrap(), "{micros}");
            assert!(bucket == 0 || time >= Histogram::upper_bound(bucket - 1).unwrap(), "{micros}");
        }
        for micros in [1 << 38, u64::MAX] {
            assert_eq!(TimeCounters::bucket_of(micros), Histogram::BUCKETS - 1);
        }
        assert_eq!(Histogram::upper_bound(Histogram::BUCKETS - 1), None);
        assert_eq!(Histogram::upper_bound(usize::MAX - 1), None);
    }

    #[test]
    fn a_quantile_is_the_bound_of_the_bucket_that_has_it() {
        let times = of(&[1, 1, 1, 100]);
        assert_eq!((times.count(), times.sum()), (4, Duration::from_micros(103)));
        assert_eq!(times.mean(), Some(Duration::from_micros(25)));
        assert_eq!(times.quantile(0.0), Some(Duration::from_micros(2)));
        assert_eq!(times.quantile(0.75), Some(Duration::from_micros(2)));
        assert_eq!(times.quantile(0.76), Some(Duration::from_micros(128)));
        assert_eq!(times.quantile(1.0), Some(Duration::from_micros(128)));
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[]).mean(), None);
        assert_eq!(of(&[u64::MAX]).quantile(0.5), None);
    }
}
