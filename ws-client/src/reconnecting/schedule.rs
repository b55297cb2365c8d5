//! When the next attempt comes, and when there is none.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    backoff::{Backoff, Jitter},
    cause::Cause,
    decision::Decision,
    event::Outcome,
    retry_after::requested_delay,
};

/// When a client stops trying. What counts as healthy, [`Builder::healthy_after`](super::Builder::healthy_after) says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUp {
    /// It never stops.
    #[default]
    Never,
    /// When the next attempt would begin later than this after the first attempt, or after the end of the last healthy
    /// connection.
    After(Duration),
    /// After this many attempts in a row that led to no healthy connection. Zero counts as one.
    Attempts(u32),
}

/// The settings of a [`Schedule`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ScheduleOptions {
    pub(super) backoff: Backoff,
    pub(super) healthy_after: Duration,
    pub(super) give_up: GiveUp,
    pub(super) max_retry_after: Duration,
}

/// Counts failures and computes delays.
pub(super) struct Schedule {
    options: ScheduleOptions,
    jitter: Jitter,
    /// Attempts in a row that led to no healthy connection.
    failures: u32,
    /// The end of the last healthy connection, or the first attempt.
    away_since: Option<Instant>,
    /// The failure before had the decision `RetryOnce`.
    credentials_refused: bool,
}

impl Schedule {
    pub(super) const fn new(options: ScheduleOptions, jitter: Jitter) -> Self {
        Self { options, jitter, failures: 0, away_since: None, credentials_refused: false }
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) const fn credentials_refused(&self) -> bool {
        self.credentials_refused
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.away_since.get_or_insert(now);
    }

    /// An attempt failed.
    pub(super) const fn attempt_failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// A connection ended after it served for `served`. One that expired was healthy, however short its lifetime is.
    pub(super) fn disconnected(&mut self, served: Duration, expired: bool, now: Instant) {
        if served >= self.options.healthy_after || expired {
            (self.failures, self.credentials_refused) = (0, false);
            self.away_since = Some(now);
        } else {
            self.attempt_failed();
        }
    }

    /// Returns the delay until the next attempt, or why there is none.
    pub(super) fn next(
        &mut self,
        cause: &Cause,
        decision: Decision,
        now: Instant,
    ) -> Result<Duration, Outcome> {
        let requested = || requested_delay(cause).unwrap_or_default().min(self.options.max_retry_after);
        let floor = match decision {
            Decision::Retry => requested(),
            Decision::RetryAfter(delay) => delay,
            Decision::RetryOnce if !self.credentials_refused => requested(),
            Decision::RetryOnce | Decision::Stop => return Err(Outcome::Stopped),
        };
        self.credentials_refused = decision == Decision::RetryOnce;
        // Added to the floor, so that clients with the same `Retry-After` do not come back together.
        let jitter = self.jitter.below(self.options.backoff.limit(self.failures));
        let delay = floor.saturating_add(jitter);
        if self.gives_up(delay, now) { Err(Outcome::GaveUp) } else { Ok(delay) }
    }

    /// Returns a duration between nine tenths of `max` and `max`.
    pub(super) fn lifetime(&mut self, max: Duration) -> Duration {
        max - self.jitter.below(max / 10)
    }

    fn gives_up(&self, delay: Duration, now: Instant) -> bool {
        match self.options.give_up {
            GiveUp::Never => false,
            GiveUp::Attempts(max) => self.failures >= max.max(1),
            GiveUp::After(limit) => {
                let away = self.away_since.map_or(Duration::ZERO, |since| now.duration_since(since));
                away.saturating_add(delay) > limit
            }
        }
    }
}
