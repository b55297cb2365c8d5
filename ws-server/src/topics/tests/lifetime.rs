//! Topics and memory end with their use.

use ws_proto::memory::MemoryBudget;

use super::{super::*, *};

#[test]
fn a_topic_exists_while_it_has_members() {
    let topics = Topics::new();
    publish(&topics, [1]);
    assert!(!topics.contains(TOPIC), "a publication without history creates none");
    let peers = [Peer::in_topic(&topics), Peer::in_topic(&topics)];
    assert_eq!((topics.topic_count(), topics.member_count(TOPIC)), (1, 2));
    assert_eq!(topics.topic_names(), [Arc::from(TOPIC)]);
    peers[0].member.unsubscribe(TOPIC);
    assert!(topics.contains(TOPIC));
    peers[1].end();
    assert_eq!((topics.topic_count(), topics.member_count(TOPIC)), (0, 0));
    assert_eq!(topics.topic_names(), [] as [Arc<str>; 0]);
}

#[test]
fn a_hundred_thousand_topics_that_are_left_leave_nothing() {
    const TOPICS: usize = 100_000;
    let budget = MemoryBudget::new(1 << 30);
    let topics =
        Topics::builder().max_topics_per_member(TOPICS).memory_budget(budget.clone()).build().unwrap();
    let peers = [Peer::new(&topics), Peer::new(&topics)];
    for number in 0..TOPICS {
        for peer in &peers {
            peer.member.subscribe(&format!("topic {number}")).unwrap();
        }
    }
    assert_eq!(topics.topic_count(), TOPICS);
    assert!(budget.used() > TOPICS * 512);
    for number in 0..TOPICS {
        assert!(peers[0].member.unsubscribe(&format!("topic {number}")));
    }
    assert_eq!(topics.topic_count(), TOPICS);
    peers[1].end();
    assert_eq!(topics.topic_count(), 0);
    assert!(topics.0.directory.capacity() < TOPICS / 20, "{}", topics.0.directory.capacity());
    assert_eq!(budget.used(), 0);
}

#[test]
fn publications_leave_the_memory_budget_with_their_last_use() {
    let budget = MemoryBudget::new(100 * 1024 * 1024);
    let options = TopicOptions::new().slow(SlowPolicy::disconnect().max_messages(10_000).max_bytes(1 << 30));
    let topics = Topics::builder().options(options).memory_budget(budget.clone()).build().unwrap();
    let mut peers = [Peer::in_topic(&topics), Peer::in_topic(&topics)];
    for _ in 0..10 {
        topics.publish(TOPIC, vec![0; 40_000]).unwrap();
    }
    let used = budget.used();
    assert!((300_000..500_000).contains(&used), "a payload counts once: {used}");
    peers[0].take();
    assert!(budget.used() > 300_000);
    peers[1].take();
    assert!(budget.used() < 100_000, "{}", budget.used());
    drop((topics, peers));
    assert_eq!(budget.used(), 0);
}

#[test]
fn presence_data_counts_against_the_memory_budget() {
    let budget = MemoryBudget::new(1 << 30);
    let topics = Topics::builder().max_presence(1 << 20).memory_budget(budget.clone()).build().unwrap();
    let peer = Peer::new(&topics);
    for size in [1 << 19, 1 << 20] {
        let options = SubscribeOptions::new().presence(Bytes::from(vec![0; size]));
        peer.member.subscribe_with(TOPIC, options).unwrap();
        assert!((size..size + 65_536).contains(&budget.used()), "{}", budget.used());
    }
    peer.end();
    assert!(budget.used() < 65_536);
}

#[test]
fn handles_and_members_free_the_topics_with_the_last_one() {
    let topics = Topics::new();
    let weak = Arc::downgrade(&topics.0);
    let peer = Peer::in_topic(&topics);
    drop(topics);
    assert!(weak.upgrade().is_some());
    peer.end();
    drop(peer);
    assert!(weak.upgrade().is_none());
}
