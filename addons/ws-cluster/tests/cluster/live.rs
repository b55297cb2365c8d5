use bytes::Bytes;
use ws_cluster::{ClusterEvent, GapCause, Health, MemoryBroker};
use ws_server::topics::PublishOptions;

use super::{Node, numbers};

#[tokio::test(start_paused = true)]
async fn members_of_all_nodes_get_what_is_published_in_order() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let (mut near, mut far) = (here.subscribed("news").await, there.subscribed("news").await);
    for number in 0..50 {
        here.publish("news", number).await;
    }
    assert_eq!(near.texts(50).await, numbers(0..50));
    assert_eq!(far.texts(50).await, numbers(0..50));
    assert_ne!(here.cluster.id(), there.cluster.id());
    assert_eq!(here.cluster.health(), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn the_excepted_member_does_not_get_it() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let (mut author, mut far) = (here.subscribed("news").await, there.subscribed("news").await);
    let options =
        PublishOptions::new().except(author.member.id()).key(Bytes::from_static(b"key")).uncompressed();
    let published = here.cluster.publish_with("news", "1", options).await.unwrap();
    assert_eq!(published.members, 1, "it is counted");
    here.publish("news", 2).await;
    assert_eq!(far.texts(2).await, ["1", "2"]);
    assert_eq!(author.text().await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_subscribes_without_the_cluster_gets_it_a_moment_later() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let mut peer = there.connect();
    peer.member.subscribe("news").unwrap();
    // The clock is paused: it advances once nothing else is to be done.
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    here.publish("news", 1).await;
    assert_eq!(peer.text().await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_broker_is_a_gap_of_live_topics() {
    let broker = MemoryBroker::new();
    let node = Node::new(&broker);
    let _peer = node.subscribed("news").await;
    let mut events = node.cluster.events();
    broker.restart_empty();
    assert_eq!(events.recv().await, Some(ClusterEvent::Down));
    assert_eq!(events.recv().await, Some(ClusterEvent::Up));
    let gap = ClusterEvent::Gap { topics: ["news".into()].into(), cause: GapCause::Disconnected };
    assert_eq!(events.recv().await, Some(gap));
}
