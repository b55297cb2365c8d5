//! The members of a delivery and their subscriptions.

use std::sync::Arc;

use ws_proto::memory::MemoryBudget;

use super::{
    Command, MemberLimits, MemberWake, Slot,
    inbox::Inbox,
    pages::NONE,
    store::{Store, Subscription},
    subscribers::Subscribers,
};
use crate::topics::{
    publication::{MemberId, Publication, TopicId},
    slow::{SlowAction, SlowPolicy},
};

/// The members of a delivery.
pub(super) struct Members {
    pub(super) subscribers: Subscribers,
    pub(super) store: Store,
    /// Empty. Its allocation is used again.
    spare: Vec<Command>,
}

impl Members {
    pub(super) fn new(budget: Option<MemoryBudget>) -> Self {
        Self { subscribers: Subscribers::new(), store: Store::new(budget), spare: Vec::new() }
    }

    /// Executes the commands that wait, in order.
    pub(super) fn execute(&mut self, inbox: &Inbox) {
        let mut commands = std::mem::take(&mut self.spare);
        while let Some(mut number) = inbox.take(&mut commands) {
            for command in commands.drain(..) {
                number += 1;
                self.execute_one(command, number);
            }
        }
        self.spare = commands;
    }

    fn execute_one(&mut self, command: Command, number: u64) {
        match command {
            Command::Subscribe { slot, topic, slow, recovered } => {
                if let Some(member) = self.store.find(slot) {
                    self.subscribe(member, topic, slow, recovered, number);
                }
            }
            Command::Unsubscribe { slot, topic } => {
                if let Some(subscription) = self.find(slot, topic) {
                    self.remove_subscription(subscription);
                    self.store.charge_nodes();
                }
            }
            Command::Publish { topic, publication, room } => {
                self.publish(topic, publication, number);
                drop(room);
            }
        }
    }

    pub(super) fn add_member(&mut self, id: MemberId, wake: MemberWake, limits: MemberLimits) -> Slot {
        self.store.add_member(id, wake, limits)
    }

    pub(super) fn remove_member(&mut self, slot: Slot) {
        let Some(index) = self.store.find(slot) else { return };
        while let first = self.store.members[index].first
            && first != NONE
        {
            self.remove_subscription(first);
        }
        let member = self.store.members.remove(index);
        if member.close.is_some() && !member.is_closed {
            self.store.closing -= 1;
        }
        self.store.charge_nodes();
    }

    /// The subscription of a member to a topic.
    pub(super) fn find(&self, slot: Slot, topic: TopicId) -> Option<u32> {
        self.find_at(self.store.find(slot)?, self.subscribers.find(topic)?)
    }

    /// Looks through the shorter of the two lists that contain the subscription.
    fn find_at(&self, index: u32, topic: u32) -> Option<u32> {
        let (member, subscriptions) = (&self.store.members[index], &self.store.subscriptions);
        let members = self.subscribers.of(topic);
        if members.len() < member.subscriptions as usize {
            return members.iter().copied().find(|at| subscriptions[*at].member == index);
        }
        let mut at = member.first;
        while at != NONE && subscriptions[at].topic != topic {
            at = subscriptions[at].next;
        }
        (at != NONE).then_some(at)
    }

    /// A second subscription to a topic changes the policy of the first.
    fn subscribe(
        &mut self,
        index: u32,
        topic: TopicId,
        slow: SlowPolicy,
        recovered: Vec<Arc<Publication>>,
        number: u64,
    ) {
        let existing = self.subscribers.find(topic).and_then(|topic| self.find_at(index, topic));
        let Some(policy) = self.store.policies.add(slow) else { return };
        let subscription = match existing {
            Some(existing) => {
                let record = &mut self.store.subscriptions[existing];
                let old = std::mem::replace(&mut record.policy, policy);
                self.store.policies.remove(old);
                existing
            }
            None => match self.insert_subscription(index, topic, policy) {
                Some(subscription) => subscription,
                None => return self.store.policies.remove(policy),
            },
        };
        for publication in recovered {
            self.recover(subscription, publication, number);
        }
        self.store.charge_nodes();
    }

    fn insert_subscription(&mut self, index: u32, topic: TopicId, policy: u32) -> Option<u32> {
        let store = &mut self.store;
        let next = store.members[index].first;
        let subscription = store.subscriptions.insert(Subscription {
            member: index,
            next,
            prev: NONE,
            policy,
            live: NONE,
            recovered: NONE,
            ..Subscription::default()
        })?;
        let Some(topic) = self.subscribers.find_or_insert(topic) else {
            store.subscriptions.remove(subscription);
            return None;
        };
        let record = &mut store.subscriptions[subscription];
        record.topic = topic;
        record.place = self.subscribers.add(topic, subscription);
        if next != NONE {
            store.subscriptions[next].prev = subscription;
        }
        let member = &mut store.members[index];
        member.first = subscription;
        member.subscriptions += 1;
        Some(subscription)
    }

    /// Recovered publications are bounded by the history that they come from, so no limit of a policy applies, but the
    /// memory budget does: the history forgets them, and the member holds them still. A member may have lost its own
    /// ones too, so it gets them.
    fn recover(&mut self, subscription: u32, publication: Arc<Publication>, number: u64) {
        let store = &mut self.store;
        let index = store.subscriptions[subscription].member;
        if store.members[index].close.is_some() {
            return store.miss(subscription, 1);
        }
        if publication.is_short() && store.waiting(index).bytes > MemoryBudget::SMALL {
            let policy = store.policies[store.subscriptions[subscription].policy];
            return match policy.action {
                SlowAction::Disconnect(code) => store.disconnect(index, subscription, code),
                _ => store.miss(subscription, 1),
            };
        }
        if store.append_recovered(subscription, publication, number) {
            store.mark_due(index);
        } else {
            store.miss(subscription, 1);
        }
    }

    /// Removes a subscription and what waits for it.
    fn remove_subscription(&mut self, subscription: u32) {
        let store = &mut self.store;
        store.clear_subscription(subscription);
        let Subscription { topic, place, member, next, prev, policy, .. } =
            store.subscriptions.remove(subscription);
        if let Some(moved) = self.subscribers.remove(topic, place) {
            store.subscriptions[moved].place = place;
        }
        if next != NONE {
            store.subscriptions[next].prev = prev;
        }
        let member = &mut store.members[member];
        member.subscriptions -= 1;
        if prev == NONE {
            member.first = next;
        } else {
            store.subscriptions[prev].next = next;
        }
        store.policies.remove(policy);
        if store.missed.remove(&subscription).is_some() {
            let few = store.missed.capacity() / 8;
            if few > 8 && store.missed.len() < few {
                store.missed.shrink_to(2 * few);
            }
        }
    }
}
