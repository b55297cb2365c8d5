//! Finds the publication of a key among those that wait.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    pages::NONE,
    store::{Node, Store},
};

/// Up to this many publications are looked through without an index.
const FEW: usize = 16;

impl Store {
    /// The live node of a subscription whose publication has this key. The newest, because several with one key may
    /// wait since the subscription had another policy.
    pub(super) fn find_key(&mut self, subscription: u32, key: &Bytes) -> Option<u32> {
        if let Some(index) = self.keys.of(subscription) {
            return index.get(key).copied();
        }
        let newest = self.subscriptions[subscription].live;
        if newest == NONE {
            return None;
        }
        let (mut node, mut found) = (newest, None);
        for _ in 0..FEW {
            node = self.nodes[node].next_in_ring;
            if self.key_of(&self.nodes[node]) == Some(key) {
                found = Some(node);
            }
            if node == newest {
                return found;
            }
        }
        self.build_index(subscription, newest).get(key).copied()
    }

    fn build_index(&mut self, subscription: u32, newest: u32) -> &HashMap<Bytes, u32> {
        let mut index = HashMap::new();
        let mut node = newest;
        loop {
            node = self.nodes[node].next_in_ring;
            if let Some(key) = self.key_of(&self.nodes[node]) {
                index.insert(key.clone(), node);
            }
            if node == newest {
                break;
            }
        }
        self.keys.0.entry(subscription).insert_entry(index).into_mut()
    }

    fn key_of(&self, node: &Node) -> Option<&Bytes> {
        self.publication(node.held)?.key.as_ref()
    }
}
