//! Members that come back to any node and name the position that they have.

use ws_server::topics::Beginning;

use super::{Peer, fake::Recovered, numbers, peers, settle};
use crate::{MemoryBroker, Position, cluster::local::Local as _};

impl Peer {
    async fn subscribe_from(&self, member: u64, topic: &str, since: Position) -> Recovered {
        let watched =
            self.node.watched(topic, Some(Beginning::Position(since))).await.unwrap().expect("logged");
        self.topics.join_at(member, topic, watched.at, Some(since))
    }
}

/// Publishes the numbers from 1 on, so that a text is its offset.
async fn publish(node: &Peer, range: std::ops::RangeInclusive<usize>) -> Position {
    let mut last = None;
    for number in range {
        last = node.publish("log", &number.to_string()).await.position;
    }
    last.expect("not empty")
}

#[tokio::test(start_paused = true)]
async fn a_member_gets_what_it_missed_on_a_node_that_did_not_follow_the_topic() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    let newest = publish(&here, 1..=300).await;
    let since = Position { offset: 10, ..newest };
    assert_eq!(there.subscribe_from(1, "log", since).await, Recovered::All(290));
    publish(&here, 301..=301).await;
    settle().await;
    assert_eq!(there.texts(1), numbers(11..302));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_missed_nothing_recovers_nothing() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    let newest = publish(&here, 1..=3).await;
    assert_eq!(there.subscribe_from(1, "log", newest).await, Recovered::All(0));
    publish(&here, 4..=4).await;
    settle().await;
    assert_eq!(there.texts(1), ["4"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_may_go_back_further_than_the_history_of_the_node() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    let newest = publish(&here, 1..=20).await;
    there.subscribe(1, "log").await;
    publish(&here, 21..=22).await;
    settle().await;
    for (member, offset) in [(2, 15), (3, 5), (4, 10)] {
        let since = Position { offset, ..newest };
        assert_eq!(there.subscribe_from(member, "log", since).await, Recovered::All(22 - offset as usize));
    }
    publish(&here, 23..=23).await;
    settle().await;
    assert_eq!(there.texts(1), numbers(21..24), "others get nothing twice");
    assert_eq!(there.texts(2), numbers(16..24));
    assert_eq!(there.texts(3), numbers(6..24));
    assert_eq!(there.texts(4), numbers(11..24));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_ahead_of_the_node_gets_nothing_twice() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.subscribe(1, "log").await;
    there.link.hold();
    let newest = publish(&here, 1..=5).await;
    assert!(there.texts(1).is_empty());
    assert_eq!(there.subscribe_from(2, "log", newest).await, Recovered::All(0));
    there.link.release();
    publish(&here, 6..=6).await;
    settle().await;
    assert_eq!(there.texts(1), numbers(1..7));
    assert_eq!(there.texts(2), ["6"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_from_the_log_is_a_gap_for_the_member() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    let newest = publish(&here, 1..=20).await;
    broker.trim("log", 5);
    let since = Position { offset: 2, ..newest };
    assert_eq!(there.subscribe_from(1, "log", since).await, Recovered::Gap);
    assert_eq!(there.texts(1), numbers(16..21), "what is left");
    assert_eq!(there.subscribe_from(2, "log", Position { offset: 1, ..newest }).await, Recovered::Gap);
    assert_eq!(there.subscribe_from(3, "log", Position { offset: 15, ..newest }).await, Recovered::All(5));
}

#[tokio::test(start_paused = true)]
async fn what_the_node_does_not_keep_is_a_gap_for_the_member() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.topics.keep(4);
    let newest = publish(&here, 1..=20).await;
    assert_eq!(there.subscribe_from(1, "log", Position { offset: 2, ..newest }).await, Recovered::Gap);
    assert_eq!(there.texts(1), numbers(17..21));
}

#[tokio::test(start_paused = true)]
async fn a_position_of_a_log_that_is_lost_is_reported() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    let newest = publish(&here, 1..=3).await;
    broker.restart_empty();
    settle().await;
    publish(&here, 1..=1).await;
    assert_eq!(there.subscribe_from(1, "log", newest).await, Recovered::OtherEpoch);
    publish(&here, 2..=2).await;
    settle().await;
    assert_eq!(there.texts(1), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_of_the_new_log_is_known_even_if_the_node_has_not_read_it_yet() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.subscribe(1, "log").await;
    publish(&here, 1..=3).await;
    settle().await;
    // The node does not notice that the log was replaced.
    there.link.hold();
    broker.restart_empty();
    let newest = publish(&here, 1..=2).await;
    assert_eq!(there.subscribe_from(2, "log", newest).await, Recovered::All(0));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_back_after_the_last_one_left_misses_nothing() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.subscribe(1, "log").await;
    publish(&here, 1..=2).await;
    settle().await;
    let since = there.topics.got(1)[1].position.unwrap();
    there.topics.leave(1, "log");
    for _ in 0..5 {
        settle().await;
    }
    assert!(there.watched().is_empty());
    publish(&here, 3..=4).await;
    assert_eq!(there.subscribe_from(2, "log", since).await, Recovered::All(2));
    publish(&here, 5..=5).await;
    settle().await;
    assert_eq!(there.texts(2), numbers(3..6));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_names_no_position_gets_nothing_old_after_the_last_one_left() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.subscribe(1, "log").await;
    publish(&here, 1..=2).await;
    settle().await;
    there.topics.leave(1, "log");
    for _ in 0..5 {
        settle().await;
    }
    publish(&here, 3..=4).await;
    there.topics.join(2, "log");
    settle().await;
    publish(&here, 5..=5).await;
    settle().await;
    assert_eq!(there.texts(2), ["5"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_stays_watched_while_a_call_needs_it() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    let watched = node.node.watched("log", None).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(node.watched(), ["log"]);
    drop(watched);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(node.watched().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_created_again_continues_at_its_position() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.topics.keep(0);
    node.subscribe(1, "log").await;
    let last = publish(&node, 1..=2).await;
    settle().await;
    node.topics.leave(1, "log");
    node.topics.join(2, "log");
    settle().await;
    assert_eq!(node.topics.position("log"), Some(last));
    publish(&node, 3..=3).await;
    settle().await;
    assert_eq!(node.texts(2), ["3"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_waits_for_its_part_of_the_log_until_the_broker_is_back() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    let newest = publish(&here, 1..=5).await;
    there.subscribe(1, "log").await;
    there.link.disconnect();
    let since = Position { offset: 2, ..newest };
    let subscribing = there.subscribe_from(2, "log", since);
    tokio::pin!(subscribing);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(2), &mut subscribing).await.is_err());
    there.link.connect();
    assert_eq!(subscribing.await, Recovered::All(3));
    assert_eq!(there.texts(2), numbers(3..6));
}
