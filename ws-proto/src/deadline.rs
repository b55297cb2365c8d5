use std::time::{Duration, Instant};

/// Thirty years of 365 days: long enough to be for ever, and short enough that any clock can count it.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The time `wait` after `start`. A wait of more than thirty years, such as [`Duration::MAX`], counts as thirty years, for
/// an [`Instant`] that cannot be represented would be a panic.
#[must_use]
pub fn deadline_after(start: Instant, wait: Duration) -> Instant {
    // A clock that is so near its own end stands still.
    start.checked_add(wait.min(LONGEST)).unwrap_or(start)
}

#[cfg(test)]
mod tests;
