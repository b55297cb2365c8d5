//! When messages are due.

use std::time::Duration;

use tokio::time::Instant;

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
        self.start + Duration::from_secs_f64(among_all as f64 / self.rate)
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
}
