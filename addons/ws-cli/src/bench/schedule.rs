//! When messages are due.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time that is added to an [`Instant`]. A longer one may not fit.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The messages of one connection. All connections together send at an even rate: they take turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    start: Instant,
    /// The number of this connection's messages.
    count: u64,
    /// The number of its first message among all.
    first: u64,
    /// The number of connections.
    connections: u64,
    /// Messages per second of all connections.
    rate: f64,
}

impl Schedule {
    pub(super) fn new(start: Instant, rate: f64, duration: Duration, connections: u32, index: u64) -> Self {
        let connections = u64::from(connections);
        // At least one message in all; a conversion from floating point saturates.
        let total = ((rate * duration.as_secs_f64()).round() as u64).max(1);
        let count = total / connections + u64::from(index < total % connections);
        Self { start, count, first: index, connections, rate }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// When message `number` of this connection is due.
    pub(super) fn due(&self, number: u64) -> Instant {
        let among_all = self.first + number * self.connections;
        let after = Duration::try_from_secs_f64(among_all as f64 / self.rate).unwrap_or(LONGEST);
        self.start + after.min(LONGEST)
    }

    /// The time `wait` after the last message of this connection is due.
    pub(super) fn end(&self, wait: Duration) -> Instant {
        let last = self.count.checked_sub(1).map_or(self.start, |number| self.due(number));
        last + wait.min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_together_send_at_an_even_rate() {
        let start = Instant::now();
        for (connections, total) in [(1_u32, 100), (3, 100), (7, 100), (200, 100)] {
            let mut due = Vec::new();
            for index in 0..u64::from(connections) {
                let schedule = Schedule::new(start, 1000.0, Duration::from_millis(total), connections, index);
                due.extend(
                    (0..schedule.count()).map(|number| (schedule.due(number) - start).as_micros() as u64),
                );
            }
            due.sort_unstable();
            let expected: Vec<u64> = (0..total).map(|number| number * 1000).collect();
            assert_eq!(due, expected, "{connections}");
        }
    }

    #[test]
    fn the_end_is_the_wait_after_the_last_message() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        // Messages at 0, 10 and 20 s.
        let end = |connections, index| {
            Schedule::new(start, 0.1, 30 * second, connections, index).end(5 * second) - start
        };
        assert_eq!(end(1, 0), 25 * second);
        assert_eq!([0, 1].map(|index| end(2, index)), [25 * second, 15 * second]);
        // A connection without messages.
        assert_eq!(end(4, 3), 5 * second);
        // One message, however low the rate is.
        let slow = |index| Schedule::new(start, 1e-300, second, 2, index);
        assert_eq!([0, 1].map(|index| slow(index).end(5 * second) - start), [5 * second; 2]);
        assert!(slow(0).end(Duration::MAX) > start);
        // A duration that no clock can hold.
        let endless = Schedule::new(start, 1e-9, Duration::MAX, 1, 0);
        assert!(endless.end(second) > start);
    }
}
