//! The records of a delivery: members, subscriptions, and what waits.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ws_proto::{
    CloseCode,
    memory::{MESSAGE_OVERHEAD, MemoryAccount, MemoryBudget},
};
use ws_tokio::internal::{Foreign, run_unlocked};

use super::{
    Due, MemberLimits, MemberWake, Slot, Waiting,
    key_index::Keys,
    pages::{NONE, Pages, Record},
    policies::{Policies, clamp, fits},
};
use crate::topics::publication::{MemberId, Publication};

/// What a node and its share of the tables take, in bytes.
const NODE_BYTES: usize = size_of::<Node>() + 8;

/// Due members for which memory is kept.
const KEPT_DUE: usize = 1024;

/// Bursts of publications come again and again, so memory for 8,192 nodes is kept.
const KEPT_PAGES: usize = 8;

/// A member.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) id: u64,
    /// 0 in a free record.
    pub(super) generation: u32,
    /// The queue of what waits, oldest first.
    pub(super) head: u32,
    pub(super) tail: u32,
    /// The live publications that wait: those that the limits count.
    pub(super) messages: u32,
    pub(super) bytes: u32,
    max_messages: u32,
    max_bytes: u32,
    /// All publications that wait.
    pub(super) nodes: u32,
    pub(super) missed: u64,
    /// The list of subscriptions, and how many there are.
    pub(super) first: u32,
    pub(super) subscriptions: u32,
    /// The connection was asked to take what waits, and has not taken all of it yet.
    pub(super) is_due: bool,
    /// The member is in the list of due members, here or at the reactor.
    pub(super) is_listed: bool,
    /// A policy closes the connection. The member gets nothing more.
    pub(super) close: Option<CloseCode>,
    /// `close` was passed on to the connection.
    pub(super) is_closed: bool,
    /// The member has missed publications since all that waited was taken.
    pub(super) is_slow: bool,
    /// The bytes of the recovered publications that wait.
    pub(super) recovered_bytes: usize,
    wake: Wake,
}

/// How the member is woken. Dropping a waker runs foreign code.
#[derive(Debug, Default)]
struct Wake(Option<MemberWake>);

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(MemberWake::Waker(waker)) = self.0.take() {
            run_unlocked(Foreign::Waker(waker));
        }
    }
}

/// The membership of a member in a topic. There are many: at most 40 bytes.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    pub(super) topic: u32,
    /// The place in the topic's list.
    pub(super) place: u32,
    pub(super) member: u32,
    /// The member's other subscriptions.
    pub(super) next: u32,
    pub(super) prev: u32,
    pub(super) policy: u32,
    /// The live publications that wait: those that the policy counts.
    pub(super) messages: u32,
    pub(super) bytes: u32,
    /// The newest live node, and the newest recovered one. Each ends a ring, so its next is the oldest.
    pub(super) live: u32,
    pub(super) recovered: u32,
}

/// A publication that waits for a member.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The number of the command that put a publication here.
    pub(super) number: u64,
    pub(super) held: u32,
    pub(super) subscription: u32,
    /// The member's queue.
    pub(super) next: u32,
    pub(super) prev: u32,
    /// The ring of the subscription.
    pub(super) next_in_ring: u32,
    /// What the limits count; 0 for a recovered publication.
    pub(super) cost: u32,
}

/// A publication that waits for members.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) publication: Option<Arc<Publication>>,
    /// How many nodes refer to it.
    pub(super) uses: u32,
}

impl Record for Member {
    fn link(&mut self) -> &mut u32 {
        &mut self.head
    }
}

impl Record for Subscription {
    fn link(&mut self) -> &mut u32 {
        &mut self.next
    }
}

impl Record for Node {
    fn link(&mut self) -> &mut u32 {
        &mut self.next
    }
}

impl Record for Held {
    fn link(&mut self) -> &mut u32 {
        &mut self.uses
    }
}

impl Member {
    /// Whether the limits of the member admit a live publication.
    #[inline]
    pub(super) const fn admits(&self, cost: u32) -> bool {
        fits(cost, self.messages, self.bytes, self.max_messages, self.max_bytes)
    }

    /// As [`admits`](Self::admits), in place of a publication that costs `old`.
    pub(super) const fn admits_in_place(&self, cost: u32, old: u32) -> bool {
        fits(cost, self.messages - 1, self.bytes - old, self.max_messages, self.max_bytes)
    }

    /// Asks the connection to take what waits, unless it was asked already. The member is the one at `index`.
    #[inline]
    pub(super) fn mark_due(&mut self, index: u32, due: &mut VecDeque<Due>) {
        if !self.is_due {
            self.is_due = true;
            self.ask(index, due);
        }
    }

    /// Asks the connection for a turn, even if it was asked already.
    #[inline]
    fn ask(&mut self, index: u32, due: &mut VecDeque<Due>) {
        match &self.wake.0 {
            Some(MemberWake::Local(id)) if !self.is_listed => {
                self.is_listed = true;
                due.push_back(Due { id: *id, slot: Slot { index, generation: self.generation } });
            }
            // The waker is the library's own: to clone it runs no foreign code.
            Some(MemberWake::Waker(waker)) => run_unlocked(Foreign::Wake(waker.clone())),
            _ => {}
        }
    }
}

/// The records of a delivery.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) members: Pages<Member>,
    pub(super) subscriptions: Pages<Subscription>,
    pub(super) nodes: Pages<Node>,
    pub(super) held: Pages<Held>,
    pub(super) policies: Policies,
    pub(super) keys: Keys,
    /// Publications that were missed, by subscription. Most miss none.
    pub(super) missed: HashMap<u32, u64>,
    /// Publications that all members together have missed, also those that are gone.
    pub(super) missed_by_all: u64,
    /// Members that a reactor has to look at.
    pub(super) due: VecDeque<Due>,
    /// Members that a policy closes, and whose connections do not know it yet.
    pub(super) closing: usize,
    generation: u32,
    budget: Option<MemoryBudget>,
    account: Option<MemoryAccount>,
}

impl Store {
    pub(super) fn new(budget: Option<MemoryBudget>) -> Self {
        Self {
            members: Pages::new(),
            subscriptions: Pages::new(),
            nodes: Pages::keeping(KEPT_PAGES),
            held: Pages::new(),
            policies: Policies::new(),
            keys: Keys::default(),
            missed: HashMap::new(),
            missed_by_all: 0,
            due: VecDeque::new(),
            closing: 0,
            generation: 0,
            budget,
            account: None,
        }
    }

    pub(super) fn add_member(&mut self, id: MemberId, wake: MemberWake, limits: MemberLimits) -> Slot {
        self.generation = self.generation.wrapping_add(1).max(1);
        let generation = self.generation;
        let member = Member {
            id: id.0,
            generation,
            head: NONE,
            tail: NONE,
            max_messages: clamp(limits.messages),
            max_bytes: clamp(limits.bytes),
            first: NONE,
            wake: Wake(Some(wake)),
            ..Member::default()
        };
        // A slot without a record is that of a member which is gone.
        Slot { index: self.members.insert(member).unwrap_or(NONE), generation }
    }

    /// The index of a member that is not removed.
    pub(super) fn find(&self, slot: Slot) -> Option<u32> {
        let member = self.members.get(slot.index)?;
        (member.generation == slot.generation).then_some(slot.index)
    }

    pub(super) fn waiting(&self, member: u32) -> Waiting {
        let Member { nodes, bytes, recovered_bytes, .. } = &self.members[member];
        Waiting { messages: *nodes as usize, bytes: *bytes as usize + recovered_bytes }
    }

    pub(super) fn publication(&self, held: u32) -> Option<&Arc<Publication>> {
        self.held[held].publication.as_ref()
    }

    /// Counts publications that a member does not get.
    pub(super) fn miss(&mut self, subscription: u32, count: u64) {
        let member = self.subscriptions[subscription].member;
        let record = &mut self.members[member];
        record.missed += count;
        record.is_slow = true;
        self.missed_by_all += count;
        *self.missed.entry(subscription).or_default() += count;
    }

    /// Asks the connection of a member to take what waits, unless it was asked already.
    #[inline]
    pub(super) fn mark_due(&mut self, index: u32) {
        self.members[index].mark_due(index, &mut self.due);
    }

    /// Asks the connection of a member for a turn, even if it was asked already.
    pub(super) fn ask(&mut self, index: u32) {
        self.members[index].ask(index, &mut self.due);
    }

    /// Appends the connections that have to take something.
    pub(super) fn take_due(&mut self, due: &mut VecDeque<Due>) {
        due.append(&mut self.due);
        self.due.shrink_to(KEPT_DUE);
    }

    /// Whether nothing waits for any member.
    pub(super) const fn is_quiet(&self) -> bool {
        self.nodes.len() == 0 && self.closing == 0
    }

    /// Whether the memory budget refuses `nodes` more.
    pub(super) fn is_tight(&self, nodes: usize) -> bool {
        let more = nodes * NODE_BYTES;
        match (&self.account, &self.budget) {
            (Some(account), _) => !account.allows(more),
            (None, Some(budget)) => {
                self.node_bytes() + more >= MemoryBudget::SMALL && !budget.account().allows(more)
            }
            (None, None) => false,
        }
    }

    /// Charges the nodes to the memory budget; the publications are charged where they are made.
    #[inline]
    pub(super) fn charge_nodes(&mut self) {
        let bytes = self.node_bytes();
        MemoryAccount::update(&mut self.account, self.budget.as_ref(), bytes);
    }

    const fn node_bytes(&self) -> usize {
        self.nodes.len() * NODE_BYTES
    }
}

/// What a publication counts against limits, in bytes.
pub(super) fn cost_of(publication: &Publication) -> u32 {
    clamp(publication.payload_len().saturating_add(MESSAGE_OVERHEAD))
}
