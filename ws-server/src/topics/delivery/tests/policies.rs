//! What happens to members that are too slow.

use std::time::Duration;

use ws_proto::{ConnectionState, memory::MemoryBudget};

use super::*;

/// A member of `TOPIC` with a policy, for which as many publications wait as the numbers say.
fn slow(policy: SlowPolicy, numbers: std::ops::Range<u64>) -> (Delivery, Slot) {
    let delivery = local();
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, policy);
    numbers.for_each(|number| delivery.publish_number(number));
    (delivery, slot)
}

#[test]
fn the_newest_are_dropped() {
    let (delivery, slot) = slow(SlowPolicy::drop_newest().max_messages(3), 0..10);
    assert_eq!(Peer::new().numbers(&delivery, slot), [0, 1, 2]);
    assert_eq!((delivery.missed(slot), delivery.missed_in(slot, TOPIC)), (7, 7));
}

#[test]
fn the_oldest_are_dropped() {
    let (delivery, slot) = slow(SlowPolicy::drop_oldest().max_messages(3), 0..10);
    assert_eq!(Peer::new().numbers(&delivery, slot), [7, 8, 9]);
    assert_eq!((delivery.missed(slot), delivery.missed_in(slot, TOPIC)), (7, 7));
}

#[test]
fn bytes_are_limited_with_an_overhead_for_each() {
    let (delivery, slot) = slow(SlowPolicy::drop_newest().max_bytes(3 * COST - 1), 0..10);
    assert_eq!(Peer::new().numbers(&delivery, slot), [0, 1]);
}

#[test]
fn a_single_publication_may_be_larger_than_the_limit() {
    for policy in [SlowPolicy::drop_newest(), SlowPolicy::drop_oldest(), SlowPolicy::disconnect()] {
        let (delivery, slot) = slow(policy.max_bytes(100), 0..0);
        delivery.publish(numbered(1, 1000));
        assert_eq!(Peer::new().numbers(&delivery, slot), [1]);
    }
}

#[test]
fn a_slow_member_is_disconnected() {
    let (delivery, slot) = slow(SlowPolicy::disconnect().max_messages(3), 0..3);
    assert_eq!(delivery.due(), [7]);
    delivery.publish_number(3);
    assert_eq!(delivery.due(), [7], "it is due already, but it must close");
    assert_eq!(delivery.waiting(slot), Waiting::default());
    delivery.publish_number(4);
    assert_eq!(delivery.due(), []);
    assert_eq!(delivery.missed(slot), 5);
    let mut peer = Peer::new();
    assert_eq!(peer.fill(&delivery, slot, 0, Some(0)), Filled::Empty);
    assert_eq!(peer.take(), [Got::Close(1013)]);
    assert_ne!(peer.connection.state(), ConnectionState::Open);
    delivery.publish_number(5);
    assert_eq!(delivery.due(), []);
    assert_eq!(peer.numbers(&delivery, slot), []);
    delivery.remove_member(slot);
    assert_eq!(delivery.missed(slot), 0);
}

#[test]
fn a_member_that_leaves_before_it_is_closed_leaves_nothing_behind() {
    let (delivery, slot) = slow(SlowPolicy::disconnect().max_messages(1), 0..2);
    delivery.remove_member(slot);
    assert!(delivery.lock_executed().store.is_quiet());
    assert_eq!(delivery.due(), []);
}

#[test]
fn the_total_of_a_member_is_limited_too() {
    let delivery = local();
    let limits = MemberLimits { messages: 4, ..PLENTY };
    let slot = delivery.add_member(MemberId(7), MemberWake::Local(7), limits);
    delivery.subscribe(slot, TopicId(2), SlowPolicy::drop_oldest());
    delivery.subscribe(slot, TOPIC, SlowPolicy::drop_oldest());
    delivery.publish_number(0);
    for number in 10..16 {
        delivery.push(Command::Publish {
            topic: TopicId(2),
            publication: Arc::new(numbered(number, 8)),
            room: RoomShare::default(),
        });
    }
    delivery.publish_number(1);
    assert_eq!(Peer::new().numbers(&delivery, slot), [13, 14, 15, 1], "a topic drops only its own");
    assert_eq!((delivery.missed_in(slot, TOPIC), delivery.missed_in(slot, TopicId(2))), (1, 3));
    assert_eq!(delivery.missed(slot), 4);
}

#[test]
fn the_latest_of_a_key_takes_the_place_of_the_first() {
    let (delivery, slot) = slow(SlowPolicy::latest_per_key(), 0..0);
    for (number, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "b")] {
        delivery.publish(with(numbered(number, 8), |it| it.key = key(name)));
    }
    delivery.publish_number(6);
    assert_eq!(Peer::new().numbers(&delivery, slot), [3, 5, 4, 6]);
    assert_eq!(delivery.missed(slot), 2);
}

#[test]
fn the_latest_of_a_key_is_found_among_many() {
    let (delivery, slot) = slow(SlowPolicy::latest_per_key().max_messages(5000), 0..0);
    let keyed =
        |number: u64| with(numbered(number, 8), |it| it.key = Some(Bytes::from((number % 1000).to_string())));
    (0..10_000).for_each(|number| delivery.publish(keyed(number)));
    assert_eq!(delivery.waiting(slot).messages, 1000);
    let mut peer = Peer::new();
    assert_eq!(peer.fill(&delivery, slot, 5 * 10, None), Filled::More);
    assert_eq!(peer.take(), [9000, 9001, 9002, 9003, 9004].map(Got::Number));
    (10_000..10_006).for_each(|number| delivery.publish(keyed(number)));
    let rest: Vec<u64> = [10_005].into_iter().chain(9006..10_005).collect();
    assert_eq!(peer.numbers(&delivery, slot), rest);
    assert!(
        delivery.lock_executed().store.keys.is_empty(),
        "the index lives only as long as something waits"
    );
}

#[test]
fn keys_beyond_the_limits_drop_the_oldest() {
    let (delivery, slot) = slow(SlowPolicy::latest_per_key().max_messages(2), 0..0);
    for (number, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "a")] {
        delivery.publish(with(numbered(number, 8), |it| it.key = key(name)));
    }
    assert_eq!(Peer::new().numbers(&delivery, slot), [3, 4]);
    assert_eq!(delivery.missed(slot), 2);
}

#[test]
fn a_larger_latest_value_keeps_the_limits() {
    let (delivery, slot) = slow(SlowPolicy::latest_per_key().max_bytes(4 * COST), 0..0);
    for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
        delivery.publish(with(numbered(number, 8), |it| it.key = key(name)));
    }
    delivery.publish(with(numbered(4, 8 + 2 * COST), |it| it.key = key("c")));
    assert_eq!(delivery.waiting(slot), Waiting { messages: 2, bytes: 4 * COST });
    assert_eq!(Peer::new().numbers(&delivery, slot), [2, 4]);
    assert_eq!(delivery.missed(slot), 2);
}

#[test]
fn a_publication_is_not_sent_from_its_deadline_on() {
    let (delivery, slot) = slow(SlowPolicy::disconnect(), 0..0);
    let mut peer = Peer::new();
    let soon = peer.now + Duration::from_secs(1);
    delivery.publish(with(numbered(1, 8), |it| it.deadline = Some(soon)));
    delivery.publish_number(2);
    delivery.publish(with(numbered(3, 8), |it| it.deadline = Some(soon + Duration::from_secs(1))));
    peer.now = soon;
    assert_eq!(peer.numbers(&delivery, slot), [2, 3]);
    assert_eq!((delivery.missed(slot), delivery.missed_in(slot, TOPIC)), (1, 1));
}

#[test]
fn publications_past_their_deadline_do_not_disconnect_a_member() {
    let (delivery, slot) = slow(SlowPolicy::disconnect().max_messages(3), 0..0);
    let past = Instant::now();
    (0..3).for_each(|number| delivery.publish(with(numbered(number, 8), |it| it.deadline = Some(past))));
    delivery.publish_number(3);
    assert_eq!(Peer::new().numbers(&delivery, slot), [3]);
    assert_eq!(delivery.missed(slot), 3);
}

#[test]
fn a_used_up_budget_admits_only_members_for_which_nothing_waits() {
    let budget = MemoryBudget::new(64 * 1024);
    let delivery = Delivery::local(Waker::noop().clone(), Some(budget.clone()));
    let slots: Vec<Slot> = (0..1000).map(|id| join(&delivery, id)).collect();
    for slot in &slots {
        delivery.subscribe(*slot, TOPIC, SlowPolicy::drop_newest());
    }
    (0..10).for_each(|number| delivery.publish_number(number));
    let waiting: usize = slots.iter().map(|slot| delivery.waiting(*slot).messages).sum();
    assert_eq!(waiting, 1000, "one each");
    assert!(budget.used() >= 1000 * 32, "{}", budget.used());
    assert_eq!(delivery.missed(slots[0]), 9);
    for slot in &slots {
        assert_eq!(Peer::new().numbers(&delivery, *slot), [0]);
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn with_a_used_up_budget_the_newest_takes_the_place_of_the_oldest() {
    let budget = MemoryBudget::new(1000);
    let delivery = Delivery::local(Waker::noop().clone(), Some(budget));
    let slot = join(&delivery, 7);
    delivery.subscribe(slot, TOPIC, SlowPolicy::drop_oldest());
    (0..1000).for_each(|number| delivery.publish_number(number));
    let before = delivery.waiting(slot).messages;
    assert!(before > 100, "less than 16 KiB is not counted");
    (1000..1010).for_each(|number| delivery.publish_number(number));
    assert_eq!(delivery.waiting(slot).messages, before);
    assert_eq!(Peer::new().numbers(&delivery, slot).last(), Some(&1009));
}
