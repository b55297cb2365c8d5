//! The deliveries that have members of a topic.

use std::sync::Arc;

use super::delivery::Delivery;

/// The deliveries that have members of a topic, with the number of members.
#[derive(Default)]
pub(super) struct Targets {
    /// Shared with publishers, which use it after the topic's lock is released.
    deliveries: Arc<[Arc<Delivery>]>,
    /// The members in each of them.
    counts: Vec<usize>,
    members: usize,
}

impl Targets {
    /// The members in all of them.
    pub(super) const fn members(&self) -> usize {
        self.members
    }

    pub(super) const fn deliveries(&self) -> &Arc<[Arc<Delivery>]> {
        &self.deliveries
    }

    pub(super) fn add(&mut self, delivery: &Arc<Delivery>) {
        self.members += 1;
        match self.find(delivery) {
            Some(at) => self.counts[at] += 1,
            None => {
                self.deliveries = self.deliveries.iter().chain([delivery]).cloned().collect();
                self.counts.push(1);
            }
        }
    }

    pub(super) fn remove(&mut self, delivery: &Arc<Delivery>) {
        let Some(at) = self.find(delivery) else { return };
        self.members -= 1;
        self.counts[at] -= 1;
        if self.counts[at] == 0 {
            self.counts.remove(at);
            let others = self.deliveries.iter().enumerate().filter(|(other, _)| *other != at);
            self.deliveries = others.map(|(_, delivery)| Arc::clone(delivery)).collect();
        }
    }

    fn find(&self, delivery: &Arc<Delivery>) -> Option<usize> {
        self.deliveries.iter().position(|known| Arc::ptr_eq(known, delivery))
    }
}
