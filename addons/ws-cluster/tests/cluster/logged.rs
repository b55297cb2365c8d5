use ws_cluster::{ClusterEvent, GapCause, MemoryBroker};
use ws_server::topics::{Position, PublishError, PublishOptions, Recovered, SubscribeOptions, Subscribed};

use super::{Node, Peer, numbers};

#[tokio::test(start_paused = true)]
async fn all_members_see_the_positions_of_the_broker() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let (mut near, mut far) = (here.subscribed("log").await, there.subscribed("log").await);
    for number in 0..20 {
        let node = if number % 2 == 0 { &here } else { &there };
        let position = node.publish("log", number).await.unwrap();
        assert_eq!(near.entry().await, (position, number.to_string()));
        assert_eq!(far.entry().await, (position, number.to_string()));
    }
    assert_eq!(here.topics.position("log"), there.topics.position("log"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_back_to_another_node_gets_what_it_missed() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let mut peer = here.subscribed("log").await;
    here.publish("log", 0).await;
    let (position, _) = peer.entry().await;
    drop(peer);
    for number in 1..30 {
        here.publish("log", number).await;
    }
    let mut peer = there.connect();
    let subscribed = there.cluster.subscribe_from(&peer.member, "log", position).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::All { messages: 29 });
    here.publish("log", 30).await;
    assert_eq!(peer.entries(30).await, numbers(1..31));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_missed_nothing_recovers_nothing() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let position = here.publish("log", 0).await.unwrap();
    let mut peer = there.connect();
    let subscribed = there.cluster.subscribe_from(&peer.member, "log", position).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::All { messages: 0 });
    assert_eq!(subscribed.position, Some(position));
    here.publish("log", 1).await;
    assert_eq!(peer.entry().await.1, "1");
}

#[tokio::test(start_paused = true)]
async fn a_node_with_members_reads_the_earlier_log_for_one_that_comes() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let first = here.publish("log", 0).await.unwrap();
    for number in 1..10 {
        here.publish("log", number).await;
    }
    let mut other = there.subscribed("log").await;
    here.publish("log", 10).await;
    assert_eq!(other.entry().await.1, "10");
    let mut peer = there.connect();
    let subscribed = there.cluster.subscribe_from(&peer.member, "log", first).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::All { messages: 10 });
    here.publish("log", 11).await;
    assert_eq!(peer.entries(11).await, numbers(1..12));
    assert_eq!(other.entry().await.1, "11", "others get nothing twice");
}

#[tokio::test(start_paused = true)]
async fn what_the_history_of_the_node_cannot_hold_is_a_gap() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let first = here.publish("log", 0).await.unwrap();
    for number in 1..200 {
        here.publish("log", number).await;
    }
    let mut peer = there.connect();
    let subscribed = there.cluster.subscribe_from(&peer.member, "log", first).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::Gap { messages: 100, gone: 100 });
    assert_eq!(peer.entries(100).await, numbers(100..200));
}

async fn from_oldest(node: &Node) -> (Subscribed, Peer) {
    let peer = node.connect();
    let options = SubscribeOptions::new().from_oldest();
    (node.cluster.subscribe_with(&peer.member, "log", options).await.unwrap(), peer)
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_position_gets_all_of_the_log_from_any_node() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let (subscribed, mut first) = from_oldest(&here).await;
    assert_eq!(subscribed.recovered, Recovered::All { messages: 0 }, "the log has not begun");
    for number in 0..30 {
        here.publish("log", number).await;
    }
    let (subscribed, mut far) = from_oldest(&there).await;
    assert_eq!(subscribed.recovered, Recovered::All { messages: 30 });
    let (subscribed, mut near) = from_oldest(&here).await;
    assert_eq!(subscribed.recovered, Recovered::All { messages: 30 });
    there.publish("log", 30).await;
    for peer in [&mut first, &mut far, &mut near] {
        assert_eq!(peer.entries(31).await, numbers(0..31));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_position_gets_what_the_node_can_hold_and_no_gap() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    for number in 0..200 {
        here.publish("log", number).await;
    }
    for _ in 0..2 {
        let (subscribed, mut peer) = from_oldest(&there).await;
        assert_eq!(subscribed.recovered, Recovered::All { messages: 100 });
        assert_eq!(peer.entries(100).await, numbers(100..200));
    }
    broker.trim("log", 5);
    let other = Node::new(&broker);
    let (subscribed, mut peer) = from_oldest(&other).await;
    assert_eq!(subscribed.recovered, Recovered::All { messages: 5 });
    assert_eq!(peer.entries(5).await, numbers(195..200));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lost_its_logs_begins_a_new_epoch() {
    let broker = MemoryBroker::new();
    let node = Node::new(&broker);
    let mut peer = node.subscribed("log").await;
    let before = node.publish("log", 0).await.unwrap();
    assert_eq!(peer.entry().await.0, before);
    let mut events = node.cluster.events();
    broker.restart_empty();
    let gap = ClusterEvent::Gap { topics: ["log".into()].into(), cause: GapCause::NewEpoch };
    while events.recv().await.unwrap() != gap {}
    let after = node.publish("log", 1).await.unwrap();
    assert_eq!(after, Position { epoch: after.epoch, offset: 1 });
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(peer.entry().await, (after, "1".to_owned()));
    let late = node.connect();
    let subscribed = node.cluster.subscribe_from(&late.member, "log", before).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::OtherEpoch);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_subscribes_without_the_cluster_gets_what_this_node_publishes_next() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    there.publish("log", "before").await;
    let mut peer = here.connect();
    peer.member.subscribe("log").unwrap();
    here.publish("log", "after").await;
    assert_eq!(peer.entry().await.1, "after");
    assert_eq!(here.topics.publish("log", "local"), Err(PublishError::NumberedByBroker));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_kept_has_no_position() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let mut peer = there.subscribed("log").await;
    let options = PublishOptions::new().history(false);
    let published = here.cluster.publish_with("log", "typing", options).await.unwrap();
    assert_eq!(published.position, None);
    assert_eq!(peer.text().await, "typing");
    here.publish("log", 1).await;
    assert_eq!(peer.entry().await.1, "1");
}
