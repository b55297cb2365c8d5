use std::time::Duration;

/// The time from a ping of the keepalive to its pong (RFC 6455 sections 5.5.2 and 5.5.3).
///
/// It begins when the transport has accepted the whole ping, and ends when the pong is read. It includes the time in
/// which either system is busy. A peer can delay its pongs, so do not use the time where an attacker could gain by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundTrip {
    /// The latest sample.
    pub latest: Duration,
    /// The smoothed time: seven eighths of the previous value and an eighth of each new sample, as TCP does (RFC 6298
    /// section 2).
    pub smoothed: Duration,
    /// The smallest sample.
    pub minimum: Duration,
    /// The number of samples.
    pub samples: u64,
}

impl RoundTrip {
    /// The state after the first sample.
    pub(crate) const fn first(sample: Duration) -> Self {
        Self { latest: sample, smoothed: sample, minimum: sample, samples: 1 }
    }

    /// The state after a further sample.
    pub(crate) fn with(self, sample: Duration) -> Self {
        let smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
        let minimum = self.minimum.min(sample);
        Self { latest: sample, smoothed, minimum, samples: self.samples + 1 }
    }
}
