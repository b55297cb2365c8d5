//! The policies of all subscriptions, each kept once.

use std::collections::HashMap;

use super::pages::{Pages, Record};
use crate::topics::slow::{SlowAction, SlowPolicy};

/// A policy as the delivery uses it. Most subscriptions have one of few policies, so a subscription has an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) action: SlowAction,
    pub(super) max_messages: u32,
    pub(super) max_bytes: u32,
    /// The subscriptions that have it.
    uses: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { action: SlowAction::DropNewest, max_messages: 0, max_bytes: 0, uses: 0 }
    }
}

impl Record for Policy {
    fn link(&mut self) -> &mut u32 {
        &mut self.uses
    }
}

impl Policy {
    /// Whether a further publication fits behind `messages` that count `bytes`.
    #[inline]
    pub(super) const fn admits(&self, cost: u32, messages: u32, bytes: u32) -> bool {
        fits(cost, messages, bytes, self.max_messages, self.max_bytes)
    }

    fn key(&self) -> Key {
        let action = match self.action {
            SlowAction::DropNewest => 0,
            SlowAction::DropOldest => 1,
            SlowAction::LatestPerKey => 2,
            SlowAction::Disconnect(code) => (1 << 16) | u32::from(u16::from(code)),
        };
        (action, self.max_messages, self.max_bytes)
    }
}

/// The rule of all limits. A single publication may be larger if no other waits.
#[inline]
pub(super) const fn fits(cost: u32, messages: u32, bytes: u32, max_messages: u32, max_bytes: u32) -> bool {
    messages == 0 || (messages < max_messages && bytes as u64 + cost as u64 <= max_bytes as u64)
}

type Key = (u32, u32, u32);

#[derive(Debug)]
pub(super) struct Policies {
    policies: Pages<Policy>,
    by_key: HashMap<Key, u32>,
}

impl Policies {
    pub(super) fn new() -> Self {
        Self { policies: Pages::new(), by_key: HashMap::new() }
    }

    /// Adds a use of a policy.
    pub(super) fn add(&mut self, slow: SlowPolicy) -> Option<u32> {
        let policy = Policy {
            action: slow.action,
            max_messages: clamp(slow.max_messages),
            max_bytes: clamp(slow.max_bytes),
            uses: 1,
        };
        if let Some(index) = self.by_key.get(&policy.key()) {
            self.policies[*index].uses += 1;
            return Some(*index);
        }
        let index = self.policies.insert(policy)?;
        self.by_key.insert(policy.key(), index);
        Some(index)
    }

    pub(super) fn remove(&mut self, index: u32) {
        let policy = &mut self.policies[index];
        policy.uses -= 1;
        if policy.uses == 0 {
            self.by_key.remove(&policy.key());
            self.policies.remove(index);
        }
    }
}

impl std::ops::Index<u32> for Policies {
    type Output = Policy;

    #[inline]
    fn index(&self, index: u32) -> &Policy {
        &self.policies[index]
    }
}

/// A limit as a subscription counts it.
pub(super) fn clamp(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}
