//! The topics of a member.

use std::{mem, sync::Arc};

use super::topic::Topic;

/// The topics of a member, in the order of their names.
#[derive(Default)]
pub(super) struct Subscriptions {
    topics: Vec<Arc<Topic>>,
    /// The connection is over.
    is_over: bool,
}

impl Subscriptions {
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) const fn len(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.find(name).ok().map(|at| &self.topics[at])
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.topics.iter().map(|topic| Arc::clone(&topic.name)).collect()
    }

    pub(super) fn insert(&mut self, topic: Arc<Topic>) {
        if let Err(at) = self.find(&topic.name) {
            self.topics.insert(at, topic);
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<Topic>> {
        let at = self.find(name).ok()?;
        let topic = self.topics.remove(at);
        if self.topics.len() < self.topics.capacity() / 4 {
            self.topics.shrink_to_fit();
        }
        Some(topic)
    }

    pub(super) fn take(&mut self) -> Vec<Arc<Topic>> {
        mem::take(&mut self.topics)
    }

    pub(super) fn end(&mut self) -> Vec<Arc<Topic>> {
        self.is_over = true;
        self.take()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.topics.binary_search_by(|topic| (*topic.name).cmp(name))
    }
}
