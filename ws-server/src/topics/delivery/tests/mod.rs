//! Deliveries.

mod foreign;
mod memory;
mod model;
mod policies;
mod reference;
mod singles;
mod threads;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Instant,
};

use bytes::{Buf as _, Bytes};
use ws_proto::{Config, Connection, Message, PreparedMessage, TransmitQueue};
use ws_tokio::internal::Filled;

use super::{Command, Delivery, Due, MemberLimits, MemberWake, Singles, Slot, Waiting};
use crate::topics::{
    publication::{MemberId, Publication, TopicId},
    room::{Charge, RoomShare},
    slow::SlowPolicy,
};

/// What no limit of a test reaches.
const PLENTY: MemberLimits = MemberLimits { messages: 1_000_000, bytes: 1 << 30 };
/// What a publication of 8 bytes counts.
const COST: usize = 72;
const TOPIC: TopicId = TopicId(1);

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        (Arc::clone(&counter), Waker::from(counter))
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn local() -> Delivery {
    Delivery::local(Waker::noop().clone(), None)
}

/// A publication whose payload begins with a number.
fn numbered(number: u64, len: usize) -> Publication {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(len.max(8), 0);
    Publication::new(PreparedMessage::new(Message::binary(payload)), Charge::default())
}

/// The number of such a publication.
fn number_of(message: &PreparedMessage) -> u64 {
    message.payload().clone().get_u64()
}

fn with(mut publication: Publication, change: impl FnOnce(&mut Publication)) -> Publication {
    change(&mut publication);
    publication
}

impl Delivery {
    /// Keeps all others from the inbox.
    pub(in crate::topics) fn hold_inbox(&self) -> impl Sized + '_ {
        self.inbox.hold()
    }

    /// Publishes to [`TOPIC`].
    fn publish(&self, publication: Publication) {
        self.push(Command::Publish {
            topic: TOPIC,
            publication: Arc::new(publication),
            room: RoomShare::default(),
        });
        self.kick();
    }

    fn publish_number(&self, number: u64) {
        self.publish(numbered(number, 8));
    }

    fn subscribe(&self, slot: Slot, topic: TopicId, slow: SlowPolicy) {
        self.push(Command::Subscribe { slot, topic, slow, recovered: Vec::new() });
        self.kick();
    }

    fn due(&self) -> Vec<u32> {
        let mut due = VecDeque::<Due>::new();
        self.dispatch(&mut due);
        let (mut singles, mut ids) = (Singles::default(), VecDeque::new());
        self.take_singles(due.into_iter(), Instant::now(), |_| false, &mut singles, &mut ids);
        ids.into()
    }
}

/// A connection of a member, and the bytes on their way to its peer.
struct Peer {
    connection: Connection,
    tx: TransmitQueue,
    now: Instant,
}

/// What a peer gets.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Number(u64),
    Close(u16),
}

impl Peer {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let now = Instant::now();
        let connection = Connection::server(config.validate().expect("valid"), now);
        Self { connection, tx: TransmitQueue::new(), now }
    }

    fn fill(&mut self, delivery: &Delivery, slot: Slot, limit: usize, before: Option<u64>) -> Filled {
        delivery.fill(slot, limit, before, &mut self.connection, &mut self.tx, self.now)
    }

    /// Takes the bytes, and reads what they contain.
    fn take(&mut self) -> Vec<Got> {
        let mut bytes = self.tx.copy_to_bytes(self.tx.remaining());
        let mut got = Vec::new();
        while bytes.has_remaining() {
            let opcode = bytes.get_u8() & 0xf;
            let len = match bytes.get_u8() {
                126 => usize::from(bytes.get_u16()),
                len => usize::from(len),
            };
            let mut payload = bytes.split_to(len);
            got.push(match opcode {
                8 => Got::Close(payload.get_u16()),
                _ => Got::Number(payload.get_u64()),
            });
        }
        got
    }

    /// The numbers that the delivery has for this member.
    fn numbers(&mut self, delivery: &Delivery, slot: Slot) -> Vec<u64> {
        assert_eq!(self.fill(delivery, slot, usize::MAX, None), Filled::Empty);
        self.take()
            .into_iter()
            .map(|got| match got {
                Got::Number(number) => number,
                Got::Close(code) => panic!("closed with {code}"),
            })
            .collect()
    }
}

fn join(delivery: &Delivery, id: u32) -> Slot {
    delivery.add_member(MemberId(u64::from(id)), MemberWake::Local(id), PLENTY)
}

#[test]
fn a_member_gets_what_is_published_after_it_subscribed_and_before_it_unsubscribed() {
    let (delivery, mut peer) = (local(), Peer::new());
    let slot = join(&delivery, 7);
    delivery.publish_number(1);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(2);
    delivery.publish_number(3);
    assert_eq!(peer.numbers(&delivery, slot), [2, 3]);
    delivery.publish_number(4);
    delivery.push(Command::Unsubscribe { slot, topic: TOPIC });
    delivery.publish_number(5);
    assert_eq!(peer.numbers(&delivery, slot), [], "what waited was dropped");
    assert_eq!(delivery.missed(slot), 0);
}

#[test]
fn a_connection_is_asked_once_until_it_has_taken_all() {
    let (counter, wake) = Counter::new();
    let (delivery, mut peer) = (Delivery::local(wake, None), Peer::new());
    let slots = [join(&delivery, 7), join(&delivery, 8)];
    for slot in slots {
        delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    }
    assert_eq!(counter.get(), 1);
    assert_eq!(delivery.due(), []);
    delivery.publish_number(1);
    delivery.publish_number(2);
    assert_eq!(counter.get(), 2, "the reactor is woken once until it has looked");
    assert_eq!(delivery.due(), [7, 8]);
    delivery.publish_number(3);
    assert_eq!(delivery.due(), []);
    assert_eq!(peer.fill(&delivery, slots[0], 1, None), Filled::More);
    delivery.publish_number(4);
    assert_eq!(delivery.due(), [], "it has not taken all");
    peer.take();
    assert_eq!(peer.numbers(&delivery, slots[0]), [2, 3, 4]);
    delivery.publish_number(5);
    assert_eq!(delivery.due(), [7]);
}

#[test]
fn a_connection_whose_publications_are_gone_before_its_turn_is_asked_again() {
    let (delivery, mut peer) = (local(), Peer::new());
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(1);
    delivery.push(Command::Unsubscribe { slot, topic: TOPIC });
    assert_eq!(delivery.due(), []);
    assert_eq!(peer.numbers(&delivery, slot), []);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(2);
    assert_eq!(delivery.due(), [7]);
}

#[test]
fn the_list_of_due_connections_stays_short_while_the_reactor_does_not_look() {
    let (delivery, mut peer) = (local(), Peer::new());
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    for number in 0..10 {
        delivery.publish_number(number);
        assert_eq!(peer.numbers(&delivery, slot), [number]);
    }
    delivery.publish_number(10);
    assert_eq!(delivery.due(), [7]);
}

#[test]
fn a_fill_before_a_mark_takes_only_what_came_before_it() {
    let (delivery, mut peer) = (local(), Peer::new());
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(1);
    let mark = delivery.last_number();
    delivery.publish_number(2);
    assert_eq!(peer.fill(&delivery, slot, usize::MAX, Some(mark)), Filled::Empty);
    assert_eq!(peer.take(), [Got::Number(1)]);
    assert_eq!(peer.numbers(&delivery, slot), [2]);
}

#[test]
fn a_connection_without_room_loses_nothing() {
    let delivery = local();
    let mut peer = Peer::with(|config| config.write_queue_messages = 2);
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    (0..5).for_each(|number| delivery.publish_number(number));
    let mut got = Vec::new();
    while peer.fill(&delivery, slot, usize::MAX, None) == Filled::More {
        assert_eq!(peer.tx.pending_sends(), 2);
        got.extend(peer.take());
    }
    got.extend(peer.take());
    assert_eq!(got, [0, 1, 2, 3, 4].map(Got::Number));
}

#[test]
fn the_publisher_does_not_get_its_own_publication() {
    let (delivery, mut peers) = (local(), [Peer::new(), Peer::new()]);
    let slots = [join(&delivery, 7), join(&delivery, 8)];
    for slot in slots {
        delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    }
    delivery.publish(with(numbered(1, 8), |it| it.except = Some(MemberId(8))));
    assert_eq!(delivery.due(), [7]);
    assert_eq!(peers[0].numbers(&delivery, slots[0]), [1]);
    assert_eq!(peers[1].numbers(&delivery, slots[1]), []);
    assert_eq!(delivery.missed(slots[1]), 0);
}

#[test]
fn a_slot_that_is_used_again_gets_nothing_of_its_last_member() {
    let (delivery, mut peer) = (local(), Peer::new());
    let old = join(&delivery, 7);
    delivery.subscribe(old, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(1);
    delivery.due();
    delivery.subscribe(old, TopicId(2), SlowPolicy::disconnect());
    delivery.remove_member(old);
    let new = join(&delivery, 8);
    assert_eq!((old.index, old == new), (new.index, false));
    delivery.publish_number(2);
    assert_eq!(delivery.due(), []);
    assert_eq!(peer.numbers(&delivery, new), []);
    delivery.subscribe(new, TOPIC, SlowPolicy::disconnect());
    delivery.publish_number(3);
    assert_eq!(peer.numbers(&delivery, old), []);
    assert_eq!(peer.numbers(&delivery, new), [3]);
    delivery.remove_member(old);
    assert_eq!(delivery.waiting(new), Waiting::default());
}

#[test]
fn recovered_publications_come_first_and_no_policy_applies_to_them() {
    let (delivery, mut peer) = (local(), Peer::new());
    let slot = join(&delivery, 7);
    let recovered = (0..10).map(|number| Arc::new(numbered(number, 8))).collect();
    let slow = SlowPolicy::drop_oldest().max_messages(2);
    delivery.push(Command::Subscribe { slot, topic: TOPIC, slow, recovered });
    (10..15).for_each(|number| delivery.publish_number(number));
    assert_eq!(delivery.waiting(slot), Waiting { messages: 12, bytes: 12 * COST });
    assert_eq!(peer.numbers(&delivery, slot), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14]);
    assert_eq!((delivery.missed(slot), delivery.missed_in(slot, TOPIC)), (3, 3));
}

#[test]
fn a_second_subscription_to_a_topic_changes_the_policy_only() {
    let (delivery, mut peer) = (local(), Peer::new());
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::drop_newest().max_messages(1));
    delivery.subscribe(slot, TOPIC, SlowPolicy::drop_newest().max_messages(2));
    (0..3).for_each(|number| delivery.publish_number(number));
    assert_eq!(peer.numbers(&delivery, slot), [0, 1]);
    delivery.push(Command::Unsubscribe { slot, topic: TOPIC });
    delivery.publish_number(3);
    assert_eq!(peer.numbers(&delivery, slot), []);
}

#[test]
fn a_member_outside_of_the_shards_is_woken_by_the_publisher() {
    let (counter, waker) = Counter::new();
    let (delivery, mut peer) = (Delivery::loose(None), Peer::new());
    let slot = delivery.add_member(MemberId(7), MemberWake::Waker(waker), PLENTY);
    delivery.subscribe(slot, TOPIC, SlowPolicy::disconnect());
    assert_eq!(counter.get(), 0);
    delivery.publish_number(1);
    delivery.publish_number(2);
    assert_eq!(counter.get(), 1);
    assert_eq!(peer.numbers(&delivery, slot), [1, 2]);
    delivery.publish_number(3);
    assert_eq!(counter.get(), 2);
}

#[test]
fn the_inbox_of_a_reactor_that_does_not_look_stays_short() {
    let delivery = local();
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::drop_oldest());
    for number in 0..3 * super::HELP_FROM {
        delivery.publish_number(number);
        assert!(delivery.inbox.len() < super::HELP_FROM);
    }
    assert_eq!(delivery.due(), [7]);
}

#[test]
fn debug_output_has_no_payloads() {
    let delivery = local();
    delivery.publish_number(1);
    assert_eq!(format!("{delivery:?}"), "Delivery { last_number: 1, .. }");
}

fn key(name: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(name.as_bytes()))
}

impl super::key_index::Keys {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl super::subscribers::Subscribers {
    /// The subscriptions of a topic for which there is memory.
    fn capacity_of(&self, topic: TopicId) -> usize {
        self.find(topic).map_or(0, |topic| self.list_capacity(topic))
    }
}
