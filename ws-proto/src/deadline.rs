use std::time::{Duration, Instant};

/// Thirty years of 365 days: long enough to mean "never", and short enough for any clock to represent.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The time `wait` after `start`. A wait of more than thirty years, such as [`Duration::MAX`], counts as thirty
/// years: the addition would panic on an [`Instant`] that cannot be represented.
#[must_use]
pub fn deadline_after(start: Instant, wait: Duration) -> Instant {
    // A clock that cannot represent the deadline yields `start`.
    start.checked_add(wait.min(LONGEST)).unwrap_or(start)
}

#[cfg(test)]
mod tests;
