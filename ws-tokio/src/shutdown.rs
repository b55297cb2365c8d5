//! The settings of a graceful shutdown, and its pace.

use std::time::Duration;

use tokio::time::Instant;
use ws_proto::CloseCode;

/// The shortest time between two steps. In each step, some connections are closed.
const STEP: Duration = Duration::from_millis(10);
/// How much of a stall is made up for. So the rate in any second is at most one and a half times the even rate.
const MADE_UP_FOR: Duration = Duration::from_millis(500);

/// How a server shuts down: its connections, whichever crate serves them.
///
/// For `ShutdownHandle::shutdown_with` of `ws-server`, and `Upgrader::shutdown_with` of `ws-hyper`.
///
/// ```
/// use std::time::Duration;
/// use ws_proto::CloseCode;
/// use ws_tokio::Shutdown;
///
/// let rolling = Shutdown::new()
///     .code(CloseCode::SERVICE_RESTART)
///     .reason("a new version is installed")
///     .ready_delay(Duration::from_secs(10))
///     .spread(Duration::from_secs(60))
///     .grace(Duration::from_secs(10));
/// # let _ = rolling;
/// ```
///
/// 1. The server is not ready any more: `is_draining` of `ShutdownHandle` or `Upgrader` says so to health checks. It
///    still accepts for [`ready_delay`](Self::ready_delay), so that a load balancer learns of it before connections
///    fail.
/// 2. It accepts nothing more. A server of `ws-server` closes its listener: the operating system refuses connections,
///    unless another process has the socket too. Without a [`spread`](Self::spread), handshakes that have no response
///    yet end. An `Upgrader` answers requests with 503.
/// 3. Connections get a Close, evenly over [`spread`](Self::spread). Until then they work as before. Handshakes that
///    have begun continue, until the end of that time at the latest.
/// 4. After the last Close, connections have [`grace`](Self::grace) to finish the closing handshake. Those that are
///    left are cut off.
///
/// The shutdown is over as soon as the last connection has ended.
#[derive(Debug, Clone)]
#[must_use]
pub struct Shutdown {
    code: CloseCode,
    reason: String,
    spread: Duration,
    grace: Duration,
    ready_delay: Duration,
}

impl Shutdown {
    /// Closes all connections at once, with 1001 and no reason, and gives them 10 s.
    pub const fn new() -> Self {
        Self {
            code: CloseCode::GOING_AWAY,
            reason: String::new(),
            spread: Duration::ZERO,
            grace: Duration::from_secs(10),
            ready_delay: Duration::ZERO,
        }
    }

    /// The code of the Close. Default: [`CloseCode::GOING_AWAY`], 1001.
    pub const fn code(mut self, code: CloseCode) -> Self {
        self.code = code;
        self
    }

    /// The reason in the Close. One of more than 123 bytes is cut between characters. Default: empty.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// The time over which the connections are closed, so that not all clients connect to other servers
    /// in the same second. Default: zero, all at once.
    ///
    /// The order is not defined. Connections whose handshake ends during this time are closed at the end of this time
    /// at the latest. If the machine stalls for more than half a second, the time is extended by the stall, and the
    /// closes are not made up for.
    pub const fn spread(mut self, time: Duration) -> Self {
        self.spread = time;
        self
    }

    /// The longest time from the last Close until connections that are left are cut off. Default: 10 s.
    pub const fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// The time for which the server still accepts while it reports that it is not ready. Default: zero.
    pub const fn ready_delay(mut self, time: Duration) -> Self {
        self.ready_delay = time;
        self
    }

    /// The settings, for those who shut connections down.
    #[must_use]
    pub fn parts(&self) -> ShutdownParts<'_> {
        let Self { code, reason, spread, grace, ready_delay } = self;
        let (spread, grace, ready_delay) = (*spread, *grace, *ready_delay);
        ShutdownParts { code: *code, reason, spread, grace, ready_delay }
    }
}

/// The settings of a [`Shutdown`], which have methods of the same names.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the methods have them")]
pub struct ShutdownParts<'a> {
    pub code: CloseCode,
    pub reason: &'a str,
    pub spread: Duration,
    pub grace: Duration,
    pub ready_delay: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls `release` with the number of further connections to close, evenly over a time, until the sum is `total`.
pub async fn release_evenly(total: usize, time: Duration, mut release: impl FnMut(usize)) {
    let Some(step) = time.checked_div(u32::try_from(total).unwrap_or(u32::MAX)) else { return };
    let step = step.max(STEP).min(time);
    let (mut passed, mut released, mut last) = (Duration::ZERO, 0, Instant::now());
    while passed < time {
        tokio::time::sleep(step).await;
        let now = Instant::now();
        passed += (now - last).min(step + MADE_UP_FOR);
        last = now;
        let due = due(total, passed, time);
        release(due - released);
        released = due;
    }
}

/// How many of `total` are due when a part of the time has passed.
fn due(total: usize, passed: Duration, time: Duration) -> usize {
    let share = passed.min(time).as_nanos().saturating_mul(total as u128) / time.as_nanos();
    usize::try_from(share).unwrap_or(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_due_at_the_end_and_no_number_overflows() {
        for time in [Duration::from_nanos(1), Duration::from_secs(7), Duration::MAX] {
            assert_eq!((due(9, Duration::ZERO, time), due(9, time, time)), (0, 9));
            assert_eq!(due(usize::MAX, Duration::MAX, time).min(9), 9);
        }
    }
}
