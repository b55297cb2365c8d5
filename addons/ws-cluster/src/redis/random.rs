//! Random numbers and delays.

use std::time::Duration;

/// A random number from the operating system. Without one, which no supported system does, a number from the clock:
/// nothing here depends on secrecy.
pub(super) fn number() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        now.as_nanos() as u64
    })
}

/// A random duration below `limit`.
pub(super) fn below(limit: Duration) -> Duration {
    let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(number() % limit)
}

/// The delay in front of a retry: random below a limit that doubles with each attempt, from `base` up to `most`.
pub(super) fn backoff(attempt: u32, base: Duration, most: Duration) -> Duration {
    below(base.saturating_mul(1 << attempt.min(16)).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_stays_below_its_limit() {
        for attempt in [0, 1, 5, 31, u32::MAX] {
            for _ in 0..100 {
                let delay = backoff(attempt, Duration::from_millis(100), Duration::from_secs(5));
                assert!(delay < Duration::from_secs(5));
                assert!(attempt > 0 || delay < Duration::from_millis(100));
            }
        }
    }
}
