use std::time::Duration;

use bytes::Bytes;
use ws_cluster::{MemoryBroker, PresenceEvent};
use ws_server::topics::SubscribeOptions;

use super::{Node, Peer};

async fn join(node: &Node, data: &'static str) -> Peer {
    let peer = node.connect();
    let options = SubscribeOptions::new().presence(Bytes::from_static(data.as_bytes()));
    node.cluster.subscribe_with(&peer.member, "news", options).await.unwrap();
    peer
}

async fn present(node: &Node) -> Vec<Bytes> {
    let mut present: Vec<_> =
        node.cluster.presence("news").await.unwrap().into_iter().map(|present| present.data).collect();
    present.sort();
    present
}

#[tokio::test(start_paused = true)]
async fn members_of_other_nodes_come_and_go() {
    let broker = MemoryBroker::new();
    let (here, there) = (Node::new(&broker), Node::new(&broker));
    let mut events = there.cluster.presence_events();
    let _bob = join(&there, "bob").await;
    let ann = join(&here, "ann").await;
    let joined = events.recv().await.unwrap();
    assert!(
        matches!(joined, PresenceEvent::Joined { node, data, .. } if node == here.cluster.id() && data == "ann")
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(present(&here).await, ["ann", "bob"]);
    assert_eq!(present(&there).await, ["ann", "bob"]);
    drop(ann);
    assert!(matches!(events.recv().await, Some(PresenceEvent::Left { .. })));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(present(&there).await, ["bob"]);
    here.cluster.shut_down().await;
    there.cluster.shut_down().await;
}
