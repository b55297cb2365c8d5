//! Publishers, subscribers and brokers at the same time.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use super::{super::*, *};

/// The offset that a stamp put in front of a binary message.
fn offset_of(message: &Message) -> u64 {
    u64::from_be_bytes(message.as_bytes()[8..16].try_into().unwrap())
}

/// A subscriber that comes and goes, and names the last offset that it has each time. Others see that in `last`.
fn come_and_go(topics: &Topics, epoch: u64, last: &AtomicU64) {
    let mut peer = Peer::new(topics);
    for round in 0..ROUNDS {
        let recovered = peer.recover(Position { epoch, offset: last.load(Ordering::SeqCst) }).recovered;
        assert!(matches!(recovered, Recovered::All { .. }), "{recovered:?}");
        for _ in 0..round % 4 {
            take_in_order(&mut peer, last);
        }
        // What it has not taken is recovered the next time, by this member or another one.
        if round % 7 == 0 {
            peer.end();
            peer = Peer::new(topics);
        } else {
            peer.member.unsubscribe(TOPIC);
            assert_eq!(peer.take().len(), 0);
        }
    }
    peer.recover(Position { epoch, offset: last.load(Ordering::SeqCst) });
    take_in_order(&mut peer, last);
    assert!(last.swap(u64::MAX, Ordering::SeqCst) > 0);
}

fn take_in_order(peer: &mut Peer, last: &AtomicU64) {
    for message in peer.take() {
        assert_eq!(offset_of(&message), last.fetch_add(1, Ordering::SeqCst) + 1);
    }
}

const ROUNDS: usize = 2000;
const PUBLISHERS: usize = 3;
const EACH: usize = 400;
/// How far publishers may be ahead of a subscriber.
const AHEAD: u64 = 1000;

fn numbered() -> Topics {
    let history = History::new(5000).max_bytes(1 << 30);
    let options = TopicOptions::new().history(history).stamp(Stamp::json("at", "data"));
    Topics::builder().options(options).build().unwrap()
}

#[test]
fn a_subscriber_gets_each_publication_exactly_once_recovered_or_live() {
    let topics = numbered();
    let epoch = topics.publish(TOPIC, vec![0]).unwrap().position.unwrap().epoch;
    let last: [AtomicU64; 3] = Default::default();
    thread::scope(|scope| {
        for last in &last {
            let topics = &topics;
            scope.spawn(move || come_and_go(topics, epoch, last));
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let slowest = || last.iter().map(|last| last.load(Ordering::SeqCst)).min().unwrap();
                let mut newest = 0;
                loop {
                    // Read once: it is the maximum as soon as the last subscriber has ended.
                    let slowest = slowest();
                    if slowest == u64::MAX {
                        break;
                    }
                    if newest < slowest + AHEAD {
                        newest = topics.publish(TOPIC, vec![0]).unwrap().position.unwrap().offset;
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
    });
}

#[test]
fn members_on_a_shard_and_elsewhere_get_each_publication_exactly_once() {
    let topics = numbered();
    let delivery = topics.add_shard(9, Waker::noop().clone());
    let home = |id| Some(Home { shard: 9, id });
    let mut peers =
        [Peer::with(&topics, MemberOptions::new(), home(1)), Peer::new(&topics), Peer::new(&topics)];
    let published = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..PUBLISHERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    topics.publish(TOPIC, vec![0]).unwrap();
                    published.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for peer in &mut peers {
            let published = &published;
            let delivery = &delivery;
            scope.spawn(move || {
                // No subscriber is too slow, however late its thread runs.
                let slow = SlowPolicy::disconnect().max_messages(PUBLISHERS * EACH);
                peer.member.subscribe_with(TOPIC, SubscribeOptions::new().slow(slow)).unwrap();
                let mut last = None;
                loop {
                    let is_done = published.load(Ordering::SeqCst) == PUBLISHERS * EACH;
                    let mut due = VecDeque::new();
                    delivery.dispatch(&mut due);
                    for message in peer.take() {
                        let offset = offset_of(&message);
                        assert!(last.is_none_or(|last| offset == last + 1), "{last:?} {offset}");
                        last = Some(offset);
                    }
                    if is_done {
                        return;
                    }
                    thread::yield_now();
                }
            });
        }
    });
    assert_eq!(topics.position(TOPIC).unwrap().offset, (PUBLISHERS * EACH) as u64);
}

#[test]
fn topics_that_are_freed_and_created_at_the_same_time_lose_no_member() {
    let topics = Topics::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut peer = Peer::new(&topics);
                for number in 0..300 {
                    peer.member.subscribe(TOPIC).unwrap();
                    topics.publish(TOPIC, number.to_string()).unwrap();
                    let own = number.to_string();
                    assert!(
                        peer.texts().contains(&own),
                        "a subscriber gets what is published after it subscribed"
                    );
                    peer.member.unsubscribe(TOPIC);
                }
            });
        }
    });
    assert_eq!(topics.topic_count(), 0);
}

#[test]
fn brokers_that_deliver_twice_deliver_once() {
    let topics = numbered();
    let mut peer = Peer::in_topic(&topics);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for offset in 1..=500 {
                    let at = Position { epoch: 7, offset };
                    topics.append(TOPIC, at, Some(offset - 1), vec![0], PublishOptions::new()).unwrap();
                }
            });
        }
    });
    let last = AtomicU64::new(0);
    take_in_order(&mut peer, &last);
    assert_eq!(last.into_inner(), 500);
}

#[test]
fn a_connection_that_ends_while_it_subscribes_leaves_nothing() {
    for _ in 0..200 {
        let topics = Topics::new();
        let Peer { member, feed, .. } = Peer::new(&topics);
        thread::scope(|scope| {
            scope.spawn(|| {
                while member.subscribe(TOPIC).is_ok() {
                    member.unsubscribe(TOPIC);
                }
            });
            scope.spawn(|| feed.ended());
        });
        assert_eq!(topics.topic_count(), 0);
    }
}
