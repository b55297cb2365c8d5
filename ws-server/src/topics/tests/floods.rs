//! Many topics, subscriptions and commands in a short time.

use std::{thread, time::Duration};

use tokio::time::advance;
use ws_proto::memory::MemoryBudget;

use super::{super::*, *};

const AGE: Duration = Duration::from_secs(10);

fn short_lived() -> TopicOptions {
    TopicOptions::new().history(History::new(10_000).max_age(AGE))
}

#[tokio::test(start_paused = true)]
async fn a_publication_takes_the_room_of_a_topic_that_is_too_old() {
    let topics = Topics::builder().max_topics(2).options(short_lived()).build().unwrap();
    for topic in ["a", "b"] {
        topics.publish(topic, "old").unwrap();
    }
    assert_eq!(topics.publish("c", "new"), Err(PublishError::TooManyTopicsInAll { limit: 2 }));
    advance(AGE).await;
    for topic in ["c", "d"] {
        assert_eq!(topics.publish(topic, "new").unwrap().position.unwrap().offset, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_takes_the_room_of_a_topic_that_is_too_old() {
    let topics = Topics::builder().max_topics(1).options(short_lived()).build().unwrap();
    topics.publish("a", "old").unwrap();
    advance(AGE).await;
    assert!(Peer::new(&topics).member.subscribe("b").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_does_not_free_all_topics_that_are_too_old() {
    let topics = Topics::builder().options(short_lived()).build().unwrap();
    for number in 0..1000 {
        topics.publish(&number.to_string(), "old").unwrap();
    }
    advance(AGE).await;
    let peer = Peer::in_topic(&topics);
    let left = topics.0.directory.len();
    assert!(left > 900, "{left} of 1000");
    while topics.0.directory.len() > 1 {
        let before = topics.0.directory.len();
        peer.member.unsubscribe(TOPIC);
        peer.member.subscribe(TOPIC).unwrap();
        assert!(topics.0.directory.len() < before);
    }
}

#[test]
fn a_member_recovers_all_that_it_is_told() {
    let topics = Topics::builder().options(short_lived()).build().unwrap();
    let mut peer = Peer::in_topic(&topics);
    let from = topics.position(TOPIC).unwrap();
    peer.member.publish(TOPIC, "own").unwrap();
    publish(&topics, ["other"]);
    assert_eq!(peer.texts(), ["other"]);
    peer.member.unsubscribe(TOPIC);
    // It may have lost its own message, so it gets that too.
    assert_eq!(peer.recover(from).recovered, Recovered::All { messages: 2 });
    assert_eq!(peer.texts(), ["own", "other"]);
}

/// How many lists and nodes have the first publication of [`TOPIC`].
fn holders(topics: &Topics, from: Position) -> usize {
    let topic = topics.0.directory.get(TOPIC).unwrap();
    let (_, kept) = topic.lock().unwrap().log.recover(Beginning::Position(from));
    Arc::strong_count(&kept[0])
}

#[test]
fn recoveries_do_not_pile_up_before_a_shard_that_is_late() {
    let topics = Topics::builder().options(short_lived()).build().unwrap();
    let from = topics.publish(TOPIC, "first").unwrap().position.unwrap();
    let from = Position { offset: from.offset - 1, ..from };
    publish(&topics, 0..100);
    let _delivery = topics.add_shard(3, Waker::noop().clone());
    let peer = Peer::with(&topics, MemberOptions::new(), Some(Home { shard: 3, id: 5 }));
    for _ in 0..1000 {
        assert_eq!(peer.recover(from).recovered, Recovered::All { messages: 101 });
        peer.member.unsubscribe(TOPIC);
        assert!(holders(&topics, from) < 10, "{}", holders(&topics, from));
    }
}

#[test]
fn a_topic_is_locked_until_the_command_of_a_new_member_has_its_place() {
    let topics = Topics::new();
    let mut events = topics.events();
    let peer = Peer::new(&topics);
    // The inbox takes nothing, so the subscriber stops where it adds its command.
    let inbox = peer.member.0.delivery.hold_inbox();
    thread::scope(|scope| {
        scope.spawn(|| peer.member.subscribe(TOPIC).unwrap());
        while events.try_recv().is_none() {
            thread::yield_now();
        }
        // The member is counted. A publication that got the lock now could come before the command.
        let topic = topics.0.directory.get(TOPIC).unwrap();
        for _ in 0..10_000 {
            assert!(topic.is_locked());
            thread::yield_now();
        }
        drop(inbox);
    });
    assert_eq!(topics.publish(TOPIC, "x").unwrap().members, 1);
    assert_eq!(peer.member.waiting().messages, 1);
}

#[test]
fn what_waits_for_members_stays_within_the_memory_budget() {
    const MIB: usize = 1024 * 1024;
    for slow in [SlowPolicy::disconnect(), SlowPolicy::drop_newest(), SlowPolicy::drop_oldest()] {
        let budget = MemoryBudget::new(16 * MIB);
        let options = TopicOptions::new().slow(slow);
        let topics = Topics::builder().options(options).memory_budget(budget.clone()).build().unwrap();
        // Each has a topic of its own, so no publication is shared.
        let peers: Vec<_> = (0..100).map(|number| (number.to_string(), Peer::new(&topics))).collect();
        peers.iter().for_each(|(topic, peer)| assert!(peer.member.subscribe(topic).is_ok()));
        for _ in 0..8 {
            for (topic, _) in &peers {
                topics.publish(topic, vec![0; 64 * 1024]).unwrap();
                assert!(budget.used() <= 16 * MIB, "{} with {slow:?}", budget.used());
            }
        }
        assert!(peers.iter().any(|(_, peer)| peer.member.missed() > 0));
        drop((topics, peers));
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn with_a_used_up_budget_members_that_keep_up_miss_nothing() {
    let budget = MemoryBudget::new(1024 * 1024);
    let topics = Topics::builder().memory_budget(budget.clone()).build().unwrap();
    let mut account = budget.account();
    account.set(budget.limit());
    let mut peer = Peer::in_topic(&topics);
    for round in 0..100 {
        // Less than 16 KiB wait for it.
        publish(&topics, (0..100).map(|number| round * 100 + number));
        assert_eq!(peer.texts().len(), 100);
    }
    publish(&topics, 0..1000);
    assert!(peer.member.missed() > 0, "more does");
}

#[test]
fn what_members_recover_stays_within_the_memory_budget() {
    const MIB: usize = 1024 * 1024;
    for slow in [SlowPolicy::disconnect(), SlowPolicy::drop_newest()] {
        let budget = MemoryBudget::new(16 * MIB);
        let options = TopicOptions::new().slow(slow).history(History::new(100));
        let topics = Topics::builder().options(options).memory_budget(budget.clone()).build().unwrap();
        let mut peers = Vec::new();
        for _ in 0..40 {
            let at = topics.publish(TOPIC, "x").unwrap().position.unwrap();
            (0..10).for_each(|_| assert!(topics.publish(TOPIC, vec![0; 64 * 1024]).is_ok()));
            let peer = Peer::new(&topics);
            peer.recover(at);
            // It holds what it recovers, and the history continues.
            peers.push(peer);
            assert!(budget.used() <= 16 * MIB, "{} with {slow:?}", budget.used());
        }
        assert!(peers.iter().any(|peer| peer.member.missed() > 0));
        drop((topics, peers));
        assert_eq!(budget.used(), 0);
    }
}
