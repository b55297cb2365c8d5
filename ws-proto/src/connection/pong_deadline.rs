//! When the pong to a keepalive ping is due.

use std::{num::NonZeroU32, time::Duration};

use crate::config::Keepalive;

/// A deadline for the peer's answer to a keepalive ping, relative to the last received byte.
///
/// It takes 4 bytes where an `Instant` takes 16. A wait below 24 days counts in milliseconds, a longer one in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PongDeadline(NonZeroU32);

impl PongDeadline {
    /// The other bits count seconds if this one is set, milliseconds if not.
    const IN_SECONDS: u32 = 1 << 31;

    /// A deadline `wait` after the last received byte, of at least one millisecond. Milliseconds round down, so that
    /// the next ping is not late. Seconds round up, so that the deadline lies in the future.
    pub(super) fn after(wait: Duration) -> Self {
        let millis = u32::try_from(wait.as_millis()).ok().filter(|millis| *millis < Self::IN_SECONDS);
        let bits = millis.unwrap_or_else(|| {
            let seconds = wait.as_secs().saturating_add(1).min(u64::from(!Self::IN_SECONDS)) as u32;
            Self::IN_SECONDS | seconds
        });
        Self(NonZeroU32::new(bits).unwrap_or(NonZeroU32::MIN))
    }

    /// The time from the last received byte to the deadline.
    pub(super) const fn wait(self) -> Duration {
        let bits = self.0.get();
        if bits < Self::IN_SECONDS {
            Duration::from_millis(bits as u64)
        } else {
            Duration::from_secs((bits - Self::IN_SECONDS) as u64)
        }
    }
}

/// A keepalive's `timeout`, divided into waits of at most its `interval`; the last one is the remainder.
///
/// The next ping is due `interval` after an answer. A timer for a longer wait would expire too late for it.
pub(super) struct Waits {
    pub(super) count: u16,
    each: Duration,
    last: Duration,
}

impl Waits {
    pub(super) fn of(Keepalive { interval, timeout }: Keepalive) -> Self {
        // Deadlines are in whole milliseconds. `count` must fit its type.
        let least = timeout.as_millis().div_ceil(u128::from(u16::MAX)).max(1);
        let each = interval.as_millis().max(least);
        let count = timeout.as_millis().div_ceil(each).clamp(1, u128::from(u16::MAX)) as u16;
        let each = Duration::from_millis(u64::try_from(each).unwrap_or(u64::MAX));
        let last = timeout.saturating_sub(each.saturating_mul(u32::from(count - 1)));
        Self { count, each, last }
    }

    /// The wait that `more` others follow.
    pub(super) const fn before(&self, more: u16) -> Duration {
        if more == 0 { self.last } else { self.each }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_round_down_and_seconds_round_up() {
        let wait = |wait: Duration| PongDeadline::after(wait).wait();
        assert_eq!(wait(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(wait(Duration::from_micros(2_999)), Duration::from_millis(2));
        let longest_in_millis = Duration::from_millis((1 << 31) - 1);
        assert_eq!(wait(longest_in_millis), longest_in_millis);
        let longer = longest_in_millis + Duration::from_millis(1);
        assert_eq!(wait(longer), Duration::from_secs(longer.as_secs() + 1));
        assert_eq!(wait(Duration::MAX), Duration::from_secs((1 << 31) - 1));
    }
}
