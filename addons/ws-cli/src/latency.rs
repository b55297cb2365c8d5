//! Times in a histogram of fixed size.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::exit::{Failure, Outcome};

/// Times from one microsecond to one hour, with three digits. Longer ones count as one hour.
pub(crate) struct Latencies(Histogram<u64>);

const HOUR_IN_MICROS: u64 = 3_600_000_000;

impl Latencies {
    pub(crate) fn new() -> Outcome<Self> {
        let histogram = Histogram::new_with_bounds(1, HOUR_IN_MICROS, 3);
        histogram.map(Self).map_err(|error| Failure::usage(error.to_string()))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// In microseconds; 0 if nothing was recorded.
    pub(crate) fn min(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.min() }
    }

    /// In microseconds.
    pub(crate) fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// In microseconds.
    pub(crate) fn max(&self) -> u64 {
        self.0.max()
    }

    /// In microseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_not_cut_off() {
        let mut latencies = Latencies::new().unwrap();
        for millis in [1, 300, 60_000, 10_000_000] {
            latencies.record(Duration::from_millis(millis));
        }
        assert!(latencies.min() == 1000 && latencies.quantile(0.5).abs_diff(300_000) < 1000);
        assert!(latencies.max() >= HOUR_IN_MICROS);
    }
}
