//! Latencies in nanoseconds, kept with an error below two per cent and without allocation.

const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;
const BUCKETS: usize = ((64 - SUB_BITS + 1) as usize) << SUB_BITS;

/// 64 buckets for every power of two.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, max: 0 }
    }

    pub(crate) fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max) = (0, 0);
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The value that a fraction `quantile` of all values does not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        let wanted = ((self.total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(index as u64).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    let power = (value | 1).ilog2().saturating_sub(SUB_BITS);
    ((u64::from(power) << SUB_BITS) + (value >> power)) as usize
}

fn middle(index: u64) -> u64 {
    if index < 2 * SUB {
        return index;
    }
    let power = (index >> SUB_BITS) - 1;
    let lowest = (index - (power << SUB_BITS)) << power;
    lowest + (1 << power) / 2
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram, bucket, middle};

    #[test]
    fn buckets_are_narrow_and_in_order() {
        assert!(bucket(u64::MAX) < BUCKETS);
        let mut last = 0;
        for value in (0..4096).chain((12..63).map(|bit| (1 << bit) + 12_345)) {
            assert!(bucket(value) >= last, "{value}");
            last = bucket(value);
            let error = middle(last as u64).abs_diff(value) as f64;
            assert!(error <= value as f64 * 0.02, "{value}: off by {error}");
        }
    }

    #[test]
    fn quantiles_of_a_ramp() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|value| histogram.record(value));
        for (quantile, value) in [(0.5, 500), (0.99, 990), (0.999, 999)] {
            assert!(histogram.quantile(quantile).abs_diff(value) * 50 <= value, "{quantile}");
        }
        assert_eq!(histogram.max(), 1000);
    }
}
