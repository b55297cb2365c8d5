//! Who is there, on all nodes.

use std::time::Duration;

use bytes::Bytes;

use super::{Peer, peers, settle};
use crate::{ClusterError, ClusterPresent, MemoryBroker, NodeId, PresenceEvent};

async fn present(node: &Peer, topic: &str) -> Vec<(u64, u64)> {
    let present = node.node.presence(topic).await.unwrap();
    present.into_iter().map(|ClusterPresent { node, member, .. }| (node.get(), member)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_node_knows_the_members_of_all() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    here.topics.join_with_presence(1, "log", "ann");
    here.topics.join(2, "log");
    there.topics.join_with_presence(1, "log", "bob");
    assert_eq!(present(&here, "log").await, [(1, 1)], "its own at once");
    settle().await;
    assert_eq!(present(&here, "log").await, [(1, 1), (2, 1)]);
    let all = there.node.presence("log").await.unwrap();
    assert_eq!((all[0].data.clone(), all[1].data.clone()), (Bytes::from("ann"), Bytes::from("bob")));
    here.topics.leave(1, "log");
    settle().await;
    assert_eq!(present(&there, "log").await, [(2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn presence_is_stored_again_before_it_expires() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    here.topics.join_with_presence(1, "news", "ann");
    for _ in 0..100 {
        settle().await;
        assert_eq!(present(&there, "news").await, [(1, 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_members_of_a_dead_node_are_gone_after_the_ttl() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    here.topics.join_with_presence(1, "news", "ann");
    settle().await;
    here.link.disconnect();
    assert_eq!(present(&there, "news").await, [(1, 1)]);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(present(&there, "news").await.is_empty());
    assert!(matches!(here.node.presence("news").await, Err(ClusterError::Broker(_))));
    here.link.connect();
    settle().await;
    assert_eq!(present(&there, "news").await, [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_shuts_down_takes_its_presence_away() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    here.topics.join_with_presence(1, "news", "ann");
    settle().await;
    here.node.shut_down().await;
    assert!(present(&there, "news").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn presence_that_the_broker_lost_is_stored_again() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    here.topics.join_with_presence(1, "news", "ann");
    settle().await;
    broker.restart_empty();
    settle().await;
    assert_eq!(present(&there, "news").await, [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_are_announced_to_other_nodes() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    let mut events = there.node.presence_events();
    let mut own = here.node.presence_events();
    for (topic, node) in [("news", NodeId(1)), ("log", NodeId(1))] {
        there.subscribe(5, topic).await;
        here.topics.join_with_presence(1, topic, "ann");
        let expected =
            PresenceEvent::Joined { topic: topic.into(), node, member: 1, data: Bytes::from("ann") };
        assert_eq!(events.recv().await, Some(expected));
        here.topics.leave(1, topic);
        assert_eq!(events.recv().await, Some(PresenceEvent::Left { topic: topic.into(), node, member: 1 }));
    }
    assert!(there.texts(5).is_empty(), "members get no announcements");
    settle().await;
    assert!(own.0.try_recv().is_err());
}
