//! The latency of the most recent updates.

use std::{collections::VecDeque, time::Duration};

/// How many updates count.
const RECENT: usize = 1000;

#[derive(Debug, Default)]
pub(crate) struct Latency(VecDeque<Duration>);

impl Latency {
    pub(crate) fn add(&mut self, latency: Duration) {
        if self.0.len() == RECENT {
            self.0.pop_front();
        }
        self.0.push_back(latency);
    }

    /// The median, and the largest. `None` without updates.
    pub(crate) fn summary(&self) -> Option<(Duration, Duration)> {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        Some((*sorted.get(sorted.len() / 2)?, *sorted.last()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recent_updates_count() {
        let mut latency = Latency::default();
        assert_eq!(latency.summary(), None);
        latency.add(Duration::from_secs(9));
        (1..=1000).for_each(|millis| latency.add(Duration::from_millis(millis)));
        let expected = (Duration::from_millis(501), Duration::from_secs(1));
        assert_eq!(latency.summary(), Some(expected));
    }
}
