//! A delivery of plain vectors and maps, to compare with.

use std::collections::BTreeMap;

use super::*;
use crate::topics::slow::SlowAction;

/// A publication as the reference knows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) number: u64,
    pub(super) len: usize,
    pub(super) key: Option<u8>,
    pub(super) except: Option<u64>,
    pub(super) is_expired: bool,
}

impl Sample {
    fn cost(&self) -> usize {
        self.len + 64
    }

    /// The bytes of its frame.
    fn frame(&self) -> usize {
        self.len + if self.len < 126 { 2 } else { 4 }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    topic: u64,
    place: u64,
    is_recovered: bool,
    sample: Sample,
}

#[derive(Debug, Clone)]
pub(super) struct Reference {
    limits: MemberLimits,
    topics: BTreeMap<u64, (SlowPolicy, u64)>,
    /// The greatest limits that a subscription had. A smaller one does not drop what waits already.
    greatest: BTreeMap<u64, (usize, usize)>,
    queue: Vec<Entry>,
    pub(super) id: u64,
    pub(super) missed: u64,
    pub(super) is_closing: bool,
    is_closed: bool,
    /// Whether the connection was asked, and has not taken all.
    pub(super) is_asked: bool,
    /// It has missed publications since nothing waited.
    is_slow: bool,
    /// It became slow, so the connection is asked even if it was asked already.
    pub(super) is_asked_again: bool,
}

impl Reference {
    pub(super) fn new(id: u64, limits: MemberLimits) -> Self {
        Self {
            limits,
            topics: BTreeMap::new(),
            greatest: BTreeMap::new(),
            queue: Vec::new(),
            id,
            missed: 0,
            is_closing: false,
            is_closed: false,
            is_asked: false,
            is_slow: false,
            is_asked_again: false,
        }
    }

    pub(super) fn subscribe(&mut self, topic: u64, slow: SlowPolicy, recovered: &[Sample], place: u64) {
        self.topics.entry(topic).or_insert((slow, 0)).0 = slow;
        let greatest = self.greatest.entry(topic).or_default();
        *greatest = (greatest.0.max(slow.max_messages), greatest.1.max(slow.max_bytes));
        for sample in recovered {
            if self.is_closing {
                self.miss(topic);
            } else {
                self.queue.push(Entry { topic, place, is_recovered: true, sample: sample.clone() });
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, topic: u64) {
        let was_subscribed = self.topics.remove(&topic).is_some();
        self.greatest.remove(&topic);
        self.queue.retain(|entry| entry.topic != topic);
        self.forget_asked();
        self.is_slow &= !was_subscribed || !self.queue.is_empty();
        self.is_asked_again &= self.wants_turn();
    }

    pub(super) fn publish(&mut self, topic: u64, sample: &Sample, place: u64) {
        let was_slow = self.is_slow;
        self.offer(topic, sample, place);
        self.is_asked_again |= self.is_slow && !was_slow;
    }

    fn offer(&mut self, topic: u64, sample: &Sample, place: u64) {
        let Some((slow, _)) = self.topics.get(&topic).copied() else { return };
        if sample.except == Some(self.id) {
            return;
        }
        if self.is_closing {
            return self.miss(topic);
        }
        let is_keyed = slow.action == SlowAction::LatestPerKey && sample.key.is_some();
        if is_keyed && self.renew(topic, slow, sample) {
            return;
        }
        if is_keyed || !self.admits(topic, slow, sample.cost(), None) {
            while self.queue.first().is_some_and(|entry| entry.sample.is_expired) {
                self.drop_at(0);
            }
        }
        while !self.admits(topic, slow, sample.cost(), None) {
            match (slow.action, self.oldest(topic)) {
                (SlowAction::Disconnect(_), _) => {
                    while !self.queue.is_empty() {
                        self.drop_at(0);
                    }
                    self.is_closing = true;
                    self.is_asked = false;
                    return self.miss(topic);
                }
                (SlowAction::DropOldest | SlowAction::LatestPerKey, Some(oldest)) => self.drop_at(oldest),
                _ => return self.miss(topic),
            }
        }
        self.queue.push(Entry { topic, place, is_recovered: false, sample: sample.clone() });
    }

    fn renew(&mut self, topic: u64, slow: SlowPolicy, sample: &Sample) -> bool {
        let is_same =
            |entry: &Entry| entry.topic == topic && !entry.is_recovered && entry.sample.key == sample.key;
        while let Some(at) = self.queue.iter().rposition(is_same) {
            if self.admits(topic, slow, sample.cost(), Some(at)) {
                self.queue[at].sample = sample.clone();
                self.miss(topic);
                return true;
            }
            match self.oldest(topic) {
                Some(oldest) => self.drop_at(oldest),
                None => unreachable!("the one with the key waits"),
            }
        }
        false
    }

    /// Whether the limits admit a live publication, without the one at `except`.
    fn admits(&self, topic: u64, slow: SlowPolicy, cost: usize, except: Option<usize>) -> bool {
        let sum = |topic: Option<u64>| {
            let counts = |(at, entry): &(usize, &Entry)| {
                !entry.is_recovered && Some(*at) != except && topic.is_none_or(|topic| entry.topic == topic)
            };
            let costs = self.queue.iter().enumerate().filter(counts).map(|(_, entry)| entry.sample.cost());
            (costs.clone().count(), costs.sum::<usize>())
        };
        let fits = |(messages, bytes): (usize, usize), most_messages, most_bytes| {
            messages == 0 || (messages < most_messages && bytes + cost <= most_bytes)
        };
        fits(sum(Some(topic)), slow.max_messages, slow.max_bytes)
            && fits(sum(None), self.limits.messages, self.limits.bytes)
    }

    fn oldest(&self, topic: u64) -> Option<usize> {
        self.queue.iter().position(|entry| entry.topic == topic && !entry.is_recovered)
    }

    fn drop_at(&mut self, at: usize) {
        let entry = self.queue.remove(at);
        self.miss(entry.topic);
        self.forget_asked();
    }

    fn miss(&mut self, topic: u64) {
        self.missed += 1;
        self.is_slow = true;
        if let Some((_, missed)) = self.topics.get_mut(&topic) {
            *missed += 1;
        }
    }

    const fn forget_slow(&mut self) {
        (self.is_slow, self.is_asked_again) = (false, false);
    }

    fn forget_asked(&mut self) {
        self.is_asked &= self.wants_turn();
    }

    /// What a connection gets whose queue is empty and has room for `room` messages.
    pub(super) fn fill(&mut self, limit: usize, before: Option<u64>, room: usize) -> (Vec<Got>, Filled) {
        let (mut got, mut bytes) = (Vec::new(), 0);
        if self.is_closing {
            if !std::mem::replace(&mut self.is_closed, true) {
                got.push(Got::Close(1013));
            }
            self.is_asked = false;
            return (got, Filled::Empty);
        }
        while let Some(Entry { place, sample, .. }) = self.queue.first() {
            if before.is_some_and(|before| *place > before) {
                return (got, Filled::Empty);
            }
            if sample.is_expired {
                self.drop_at(0);
                continue;
            }
            if bytes >= limit || got.len() == room {
                return (got, Filled::More);
            }
            bytes += sample.frame();
            got.push(Got::Number(sample.number));
            self.queue.remove(0);
        }
        self.is_asked = false;
        self.forget_slow();
        (got, Filled::Empty)
    }

    /// What the connection gets without a turn: a live publication that is all that waits.
    pub(super) fn take_single(&mut self) -> Option<u64> {
        let [Entry { is_recovered: false, sample, .. }] = &self.queue[..] else { return None };
        if sample.is_expired {
            return None;
        }
        let number = sample.number;
        self.queue.clear();
        self.is_asked = false;
        self.forget_slow();
        Some(number)
    }

    /// Whether the connection has to be asked.
    pub(super) fn wants_turn(&self) -> bool {
        !self.queue.is_empty() || (self.is_closing && !self.is_closed)
    }

    pub(super) fn waiting(&self) -> Waiting {
        let bytes = self.queue.iter().map(|entry| entry.sample.cost()).sum();
        Waiting { messages: self.queue.len(), bytes }
    }

    pub(super) fn missed_in(&self, topic: u64) -> u64 {
        self.topics.get(&topic).map_or(0, |(_, missed)| *missed)
    }

    /// The limits hold.
    pub(super) fn check(&self) {
        let live = |topic: Option<u64>| {
            let counts =
                move |entry: &&Entry| !entry.is_recovered && topic.is_none_or(|topic| entry.topic == topic);
            let costs = self.queue.iter().filter(counts).map(|entry| entry.sample.cost());
            (costs.clone().count(), costs.sum::<usize>())
        };
        let holds = |(messages, bytes), most_messages, most_bytes| {
            messages <= 1 || (messages <= most_messages && bytes <= most_bytes)
        };
        assert!(holds(live(None), self.limits.messages, self.limits.bytes));
        for (topic, (messages, bytes)) in &self.greatest {
            assert!(holds(live(Some(*topic)), *messages, *bytes));
        }
    }
}
