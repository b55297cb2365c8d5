//! The queues of the members: what waits, in order.

use std::sync::Arc;

use super::{
    pages::{NONE, Pages},
    store::{Held, Member, Node, Store, Subscription, cost_of},
};
use crate::topics::publication::Publication;

/// What is appended to a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its uses are counted by the caller.
    pub(super) held: u32,
    pub(super) number: u64,
    /// 0 for a recovered publication.
    pub(super) cost: u32,
}

impl Entry {
    /// Appends this to the queue of a subscription's member. `false` if there are as many nodes as an index can tell
    /// apart.
    #[inline]
    pub(super) fn append(
        self,
        nodes: &mut Pages<Node>,
        member: &mut Member,
        (subscription, record): (u32, &mut Subscription),
    ) -> bool {
        let Self { held, number, cost } = self;
        let (prev, is_live) = (member.tail, cost > 0);
        let newest = if is_live { record.live } else { record.recovered };
        let oldest = if newest == NONE { NONE } else { nodes[newest].next_in_ring };
        let Some(index) = nodes.insert_with(|index| Node {
            number,
            held,
            subscription,
            next: NONE,
            prev,
            next_in_ring: if oldest == NONE { index } else { oldest },
            cost,
        }) else {
            return false;
        };
        if prev == NONE {
            member.head = index;
        } else {
            nodes[prev].next = index;
        }
        if newest != NONE {
            nodes[newest].next_in_ring = index;
        }
        member.tail = index;
        member.nodes += 1;
        if is_live {
            record.live = index;
            record.messages += 1;
            record.bytes += cost;
            member.messages += 1;
            member.bytes += cost;
        } else {
            record.recovered = index;
        }
        true
    }
}

/// Ends some uses of a publication.
#[inline]
pub(super) fn release(held: &mut Pages<Held>, index: u32, uses: u32) {
    let record = &mut held[index];
    record.uses -= uses;
    if record.uses == 0 {
        // What a publication holds is dropped without a lock.
        drop(held.remove(index));
    }
}

impl Store {
    /// Holds a publication while it has nodes. The caller has one use of it until [`release`](Self::release).
    pub(super) fn hold(&mut self, publication: Arc<Publication>) -> Option<u32> {
        self.held.insert(Held { publication: Some(publication), uses: 1 })
    }

    /// Appends a recovered publication.
    pub(super) fn append_recovered(
        &mut self,
        subscription: u32,
        publication: Arc<Publication>,
        number: u64,
    ) -> bool {
        let bytes = cost_of(&publication) as usize;
        let Some(held) = self.hold(publication) else { return false };
        let record = &mut self.subscriptions[subscription];
        let member = &mut self.members[record.member];
        let is_appended =
            Entry { held, number, cost: 0 }.append(&mut self.nodes, member, (subscription, record));
        if is_appended {
            member.recovered_bytes += bytes;
        } else {
            self.release(held);
        }
        is_appended
    }

    /// Ends a use of a publication.
    #[inline]
    pub(super) fn release(&mut self, index: u32) {
        release(&mut self.held, index, 1);
    }

    /// Removes a node, which is the oldest of its ring.
    pub(super) fn remove(&mut self, index: u32) {
        let node = self.nodes.remove(index);
        let subscription = &mut self.subscriptions[node.subscription];
        let member = &mut self.members[subscription.member];
        match node.prev {
            NONE => member.head = node.next,
            prev => self.nodes[prev].next = node.next,
        }
        match node.next {
            NONE => member.tail = node.prev,
            next => self.nodes[next].prev = node.prev,
        }
        member.nodes -= 1;
        if member.nodes == 0 {
            member.is_due = false;
        }
        let newest = if node.cost == 0 { &mut subscription.recovered } else { &mut subscription.live };
        if *newest == index {
            *newest = NONE;
        } else {
            self.nodes[*newest].next_in_ring = node.next_in_ring;
        }
        let Some(publication) = &self.held[node.held].publication else { return };
        if node.cost == 0 {
            member.recovered_bytes -= cost_of(publication) as usize;
        } else {
            member.messages -= 1;
            member.bytes -= node.cost;
            subscription.messages -= 1;
            subscription.bytes -= node.cost;
            if subscription.messages == 0 {
                self.keys.forget(node.subscription);
            } else {
                self.keys.removed(index, node.subscription, publication);
            }
        }
        self.release(node.held);
    }

    /// Puts a publication at the place of a waiting one. The limits admit it there. Its uses are counted by the caller.
    pub(super) fn replace(&mut self, index: u32, held: u32, cost: u32) {
        let node = &mut self.nodes[index];
        let old = std::mem::replace(&mut node.held, held);
        let old_cost = std::mem::replace(&mut node.cost, cost);
        let subscription = &mut self.subscriptions[node.subscription];
        let member = &mut self.members[subscription.member];
        subscription.bytes = subscription.bytes - old_cost + cost;
        member.bytes = member.bytes - old_cost + cost;
        self.release(old);
    }

    /// The oldest live node of a subscription.
    pub(super) fn oldest(&self, subscription: u32) -> Option<u32> {
        match self.subscriptions[subscription].live {
            NONE => None,
            newest => Some(self.nodes[newest].next_in_ring),
        }
    }

    /// Drops all that waits for a subscription.
    pub(super) fn clear_subscription(&mut self, subscription: u32) {
        while let Some(node) = self.oldest(subscription) {
            self.remove(node);
        }
        while let newest = self.subscriptions[subscription].recovered
            && newest != NONE
        {
            self.remove(self.nodes[newest].next_in_ring);
        }
        let member = &mut self.members[self.subscriptions[subscription].member];
        member.is_slow &= member.nodes > 0;
    }

    /// Drops all that waits for a member. With `is_missed`, the member misses it.
    pub(super) fn clear_member(&mut self, member: u32, is_missed: bool) {
        while let head = self.members[member].head
            && head != NONE
        {
            if is_missed {
                self.miss(self.nodes[head].subscription, 1);
            }
            self.remove(head);
        }
    }
}
