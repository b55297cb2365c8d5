//! A publication for the members of a topic, and the policies.

use std::sync::Arc;

use bytes::Bytes;
use ws_proto::{CloseCode, memory::MemoryBudget};

use super::{
    members::Members,
    pages::NONE,
    policies::Policy,
    queue::Entry,
    store::{Member, Store, cost_of},
};
use crate::topics::{
    publication::{Publication, TopicId},
    slow::SlowAction,
};

/// A publication for each member of a topic.
struct Incoming {
    entry: Entry,
    /// How many nodes have it.
    uses: u32,
    /// The id of the member that does not get it.
    except: Option<u64>,
    key: Option<Bytes>,
    /// The memory budget refuses it, except where little waits.
    is_tight: bool,
    /// It has no room for further nodes.
    lacks_nodes: bool,
    /// It has no room for the publication itself.
    is_short: bool,
    /// The policy of the last subscription, which most others have too.
    policy: (u32, Policy),
}

impl Members {
    /// Gives a publication to each member of a topic.
    pub(super) fn publish(&mut self, topic: TopicId, publication: Arc<Publication>, number: u64) {
        let Some(topic) = self.subscribers.find(topic) else { return };
        let subscriptions = self.subscribers.of(topic);
        let store = &mut self.store;
        let (cost, except, key) =
            (cost_of(&publication), publication.except.map(|id| id.0), publication.key.clone());
        let is_short = publication.is_short();
        let Some(held) = store.hold(publication) else {
            return subscriptions.iter().for_each(|subscription| store.miss(*subscription, 1));
        };
        let lacks_nodes = store.is_tight(subscriptions.len());
        let is_tight = lacks_nodes || is_short;
        let entry = Entry { held, number, cost };
        let policy = (NONE, Policy::default());
        let mut incoming = Incoming { entry, uses: 0, except, key, is_tight, lacks_nodes, is_short, policy };
        for subscription in subscriptions {
            store.offer(*subscription, &mut incoming);
        }
        store.held[held].uses += incoming.uses;
        store.release(held);
        store.charge_nodes();
    }
}

impl Incoming {
    /// Whether the memory budget admits it for a member for which `before` waited. As on a connection, a small amount
    /// is always admitted, so that members that keep up do not pay for others.
    fn is_affordable(&self, member: &Member, (messages, bytes): (u32, u32)) -> bool {
        if !self.is_tight || member.messages == 0 {
            return true;
        }
        let has_bytes = !self.is_short
            || member.bytes.saturating_add(self.entry.cost) <= bytes.max(MemoryBudget::SMALL as u32);
        has_bytes && (!self.lacks_nodes || member.messages < messages)
    }
}

impl Store {
    #[inline]
    fn offer(&mut self, subscription: u32, incoming: &mut Incoming) {
        let record = &mut self.subscriptions[subscription];
        let index = record.member;
        let member = &mut self.members[index];
        if incoming.except == Some(member.id) {
            return;
        }
        if incoming.policy.0 != record.policy {
            incoming.policy = (record.policy, self.policies[record.policy]);
        }
        let (policy, entry) = (&incoming.policy.1, incoming.entry);
        let is_plain = member.close.is_none()
            && (!incoming.is_tight || member.messages == 0)
            && (incoming.key.is_none() || policy.action != SlowAction::LatestPerKey)
            && policy.admits(entry.cost, record.messages, record.bytes)
            && member.admits(entry.cost);
        if !is_plain || !entry.append(&mut self.nodes, member, (subscription, record)) {
            let was_slow = member.is_slow;
            self.offer_slowly(subscription, incoming);
            if !was_slow && self.members[index].is_slow {
                // The connection gets a turn, in which it sees that its peer is slow.
                self.ask(index);
            }
            return;
        }
        incoming.uses += 1;
        member.mark_due(index, &mut self.due);
    }

    #[cold]
    fn offer_slowly(&mut self, subscription: u32, incoming: &mut Incoming) {
        let record = &self.subscriptions[subscription];
        let (index, policy) = (record.member, self.policies[record.policy]);
        if self.members[index].close.is_some() {
            return self.miss(subscription, 1);
        }
        let key = incoming.key.as_ref().filter(|_| policy.action == SlowAction::LatestPerKey);
        if let Some(key) = key
            && let Some(node) = self.find_key(subscription, key)
            && self.renew(node, incoming.entry)
        {
            incoming.uses += 1;
            return;
        }
        self.drop_expired(index);
        let Member { messages, bytes, .. } = self.members[index];
        while !self.has_room(subscription, incoming, (messages, bytes)) {
            match (policy.action, self.oldest(subscription)) {
                (SlowAction::Disconnect(code), _) => return self.disconnect(index, subscription, code),
                (SlowAction::DropOldest | SlowAction::LatestPerKey, Some(oldest)) => {
                    self.drop_missed(oldest);
                }
                _ => return self.miss(subscription, 1),
            }
        }
        let record = &mut self.subscriptions[subscription];
        let member = &mut self.members[index];
        if !incoming.entry.append(&mut self.nodes, member, (subscription, record)) {
            return self.miss(subscription, 1);
        }
        if let Some(key) = key {
            self.keys.added(record.live, subscription, key);
        }
        incoming.uses += 1;
        self.mark_due(index);
    }

    /// Whether all limits admit the publication. `before` is what the member had waiting: if the budget is used up, the
    /// publication takes the place of others that were dropped.
    fn has_room(&self, subscription: u32, incoming: &Incoming, before: (u32, u32)) -> bool {
        let record = &self.subscriptions[subscription];
        let member = &self.members[record.member];
        incoming.is_affordable(member, before)
            && self.policies[record.policy].admits(incoming.entry.cost, record.messages, record.bytes)
            && member.admits(incoming.entry.cost)
    }

    /// Replaces the publication of a node by the newer one with its key. Drops older ones while the limits do not admit
    /// it. `false` if the node itself had to go.
    fn renew(&mut self, node: u32, incoming: Entry) -> bool {
        let subscription = self.nodes[node].subscription;
        loop {
            let record = &self.subscriptions[subscription];
            let member = &self.members[record.member];
            let cost = self.nodes[node].cost;
            let policy = &self.policies[record.policy];
            if policy.admits(incoming.cost, record.messages - 1, record.bytes - cost)
                && member.admits_in_place(incoming.cost, cost)
            {
                self.replace(node, incoming.held, incoming.cost);
                self.miss(subscription, 1);
                return true;
            }
            match self.oldest(subscription) {
                Some(oldest) => {
                    self.drop_missed(oldest);
                    if oldest == node {
                        return false;
                    }
                }
                None => return false,
            }
        }
    }

    /// Closes the connection of a member. What waits is dropped: a peer that is too slow would wait for it too.
    pub(super) fn disconnect(&mut self, index: u32, subscription: u32, code: CloseCode) {
        self.clear_member(index, true);
        self.miss(subscription, 1);
        let member = &mut self.members[index];
        member.close = Some(code);
        member.is_due = true;
        self.closing += 1;
        self.ask(index);
    }

    /// Drops the publications at the front of a member's queue whose deadline has passed.
    fn drop_expired(&mut self, index: u32) {
        let mut now = None;
        while let head = self.members[index].head
            && head != NONE
            && let Some(deadline) = self.publication(self.nodes[head].held).and_then(|it| it.deadline)
            && deadline <= *now.get_or_insert_with(ws_tokio::internal::now)
        {
            self.drop_missed(head);
        }
    }

    /// Drops a waiting publication, which is the oldest of its ring.
    pub(super) fn drop_missed(&mut self, node: u32) {
        self.miss(self.nodes[node].subscription, 1);
        self.remove(node);
    }
}
