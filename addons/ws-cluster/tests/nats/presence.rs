use std::time::Duration;

use bytes::Bytes;
use ws_cluster::{Backplane as _, BackplaneEvent};

use crate::{
    node::{Node, bytes, eventually},
    server::NatsServer,
};

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(500);

async fn present(node: &Node, topic: &str) -> Vec<(u64, String)> {
    let values = node.presence(topic).await.unwrap();
    let mut values: Vec<_> =
        values.into_iter().map(|(node, value)| (node, String::from_utf8(value.to_vec()).unwrap())).collect();
    values.sort();
    values
}

#[tokio::test]
async fn presence_of_all_nodes_is_read_by_topic() {
    let Some(server) = NatsServer::start() else { return };
    let (one, two) = (Node::start(&server).await, Node::start(&server).await);
    one.set_presence("a.b", 1, bytes("x"), LONG).await.unwrap();
    two.set_presence("a.b", u64::MAX, bytes("y"), LONG).await.unwrap();
    two.set_presence("a", 2, bytes("z"), LONG).await.unwrap();
    one.set_presence("a.b", 1, bytes("newer"), LONG).await.unwrap();
    let expected = [(1, "newer".to_owned()), (u64::MAX, "y".to_owned())];
    assert_eq!(present(&one, "a.b").await, expected);
    assert_eq!(present(&two, "a.b").await, expected);
    assert_eq!(present(&one, "nobody").await, []);
}

#[tokio::test]
async fn an_empty_value_removes_presence() {
    let Some(server) = NatsServer::start() else { return };
    let node = Node::start(&server).await;
    node.set_presence("a", 1, bytes("x"), LONG).await.unwrap();
    node.set_presence("a", 2, bytes("y"), LONG).await.unwrap();
    node.set_presence("a", 1, Bytes::new(), LONG).await.unwrap();
    assert_eq!(present(&node, "a").await, [(2, "y".to_owned())]);
}

#[tokio::test]
async fn presence_ends_with_its_ttl() {
    let Some(server) = NatsServer::start() else { return };
    let node = Node::start(&server).await;
    // By the server's clock.
    node.set_presence("a", 1, bytes("x"), Duration::from_secs(1)).await.unwrap();
    eventually(async || present(&node, "a").await.is_empty()).await;
    // Beside a longer one.
    node.set_presence("a", 1, bytes("x"), LONG).await.unwrap();
    node.set_presence("a", 2, bytes("y"), SHORT).await.unwrap();
    eventually(async || present(&node, "a").await == [(1, "x".to_owned())]).await;
}

#[tokio::test]
async fn presence_can_be_stored_again_after_the_server_has_forgotten_it() {
    let Some(mut server) = NatsServer::start() else { return };
    let mut node = Node::start(&server).await;
    node.set_presence("a", 1, bytes("x"), LONG).await.unwrap();
    server.restart();
    node.until(|event| *event == BackplaneEvent::Up).await;
    assert_eq!(present(&node, "a").await, []);
    node.set_presence("a", 1, bytes("x"), LONG).await.unwrap();
    assert_eq!(present(&node, "a").await, [(1, "x".to_owned())]);
}
