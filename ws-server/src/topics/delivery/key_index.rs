//! The waiting publications of a subscription by key.

use std::collections::HashMap;

use bytes::Bytes;

use crate::topics::publication::Publication;

/// The nodes by key, for subscriptions for which many publications wait. Keys are copies, so they are dropped under a
/// lock without foreign code.
#[derive(Debug, Default)]
pub(super) struct Keys(pub(super) HashMap<u32, HashMap<Bytes, u32>>);

impl Keys {
    /// A node was added.
    pub(super) fn added(&mut self, node: u32, subscription: u32, key: &Bytes) {
        if let Some(index) = self.of(subscription) {
            index.insert(key.clone(), node);
        }
    }

    /// A node was removed.
    #[inline]
    pub(super) fn removed(&mut self, node: u32, subscription: u32, publication: &Publication) {
        if let Some(index) = self.of(subscription)
            && let Some(key) = &publication.key
            && index.get(key) == Some(&node)
        {
            index.remove(key);
        }
    }

    /// Nothing waits for the subscription any more.
    #[inline]
    pub(super) fn forget(&mut self, subscription: u32) {
        if !self.0.is_empty() {
            self.0.remove(&subscription);
            if self.0.is_empty() {
                self.0 = HashMap::new();
            }
        }
    }

    #[inline]
    pub(super) fn of(&mut self, subscription: u32) -> Option<&mut HashMap<Bytes, u32>> {
        if self.0.is_empty() { None } else { self.0.get_mut(&subscription) }
    }
}
