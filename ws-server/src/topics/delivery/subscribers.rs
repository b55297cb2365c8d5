//! The subscriptions of each topic.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::pages::{Pages, Record};
use crate::topics::publication::TopicId;

/// The topics that have members, and their subscriptions by index.
#[derive(Debug)]
pub(super) struct Subscribers {
    by_id: HashMap<TopicId, u32, BuildHasherDefault<IdHasher>>,
    topics: Pages<Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    id: u64,
    subscriptions: Vec<u32>,
    link: u32,
}

impl Record for Topic {
    fn link(&mut self) -> &mut u32 {
        &mut self.link
    }
}

impl Subscribers {
    pub(super) fn new() -> Self {
        Self { by_id: HashMap::default(), topics: Pages::new() }
    }

    /// The index of a topic that has members.
    pub(super) fn find(&self, id: TopicId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// The index of a topic. It has none of its subscriptions yet if it is new.
    pub(super) fn find_or_insert(&mut self, id: TopicId) -> Option<u32> {
        if let Some(topic) = self.find(id) {
            return Some(topic);
        }
        let topic = self.topics.insert(Topic { id: id.0, ..Topic::default() })?;
        self.by_id.insert(id, topic);
        Some(topic)
    }

    pub(super) fn of(&self, topic: u32) -> &[u32] {
        &self.topics[topic].subscriptions
    }

    #[cfg(test)]
    pub(super) fn list_capacity(&self, topic: u32) -> usize {
        self.topics[topic].subscriptions.capacity()
    }

    /// Adds a subscription and returns its place.
    pub(super) fn add(&mut self, topic: u32, subscription: u32) -> u32 {
        let list = &mut self.topics[topic].subscriptions;
        if list.len() == list.capacity() {
            // Small steps, because doubling would leave half of a large list unused.
            list.reserve_exact((list.len() / 8).max(4));
        }
        list.push(subscription);
        list.len() as u32 - 1
    }

    /// Removes the subscription at a place. Returns the one that has this place now. A topic without subscriptions is
    /// gone.
    pub(super) fn remove(&mut self, topic: u32, place: u32) -> Option<u32> {
        let Topic { id, subscriptions: list, .. } = &mut self.topics[topic];
        list.swap_remove(place as usize);
        if list.is_empty() {
            self.by_id.remove(&TopicId(*id));
            self.topics.remove(topic);
            let few = self.by_id.capacity() / 8;
            if few > 8 && self.by_id.len() < few {
                self.by_id.shrink_to(2 * few);
            }
            return None;
        }
        if list.capacity() > 64 && list.len() < list.capacity() / 2 {
            list.shrink_to(list.len() + list.len() / 8);
        }
        list.get(place as usize).copied()
    }
}

/// The ids count up and are not chosen by peers, so a multiplication spreads them well.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
