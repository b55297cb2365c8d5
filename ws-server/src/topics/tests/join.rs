//! Connections of `ws-tokio` become members.

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use ws_tokio::WebSocket;

use super::{super::*, *};

fn websocket() -> (WebSocket<DuplexStream>, DuplexStream) {
    let (io, peer) = duplex(64 * 1024);
    (WebSocket::server(io, Config::default().validate().unwrap()), peer)
}

/// Reads until `count` messages have come.
async fn read(peer: &mut DuplexStream, count: usize) -> Vec<Message> {
    let mut bytes = Vec::new();
    // All messages of these tests are 7 bytes long.
    while bytes.len() < count * 9 {
        peer.read_buf(&mut bytes).await.unwrap();
    }
    messages_in(Bytes::from(bytes))
}

#[tokio::test]
async fn a_connection_gets_publications_between_its_own_messages() {
    let topics = Topics::new();
    let (mut ws, mut peer) = websocket();
    let member = topics.join(&ws.sender()).unwrap();
    member.subscribe(TOPIC).unwrap();
    topics.publish(TOPIC, "first..").unwrap();
    ws.send("second.").await.unwrap();
    topics.publish(TOPIC, "third..").unwrap();
    ws.sender().send("fourth.").await.unwrap();
    assert_eq!(read(&mut peer, 4).await, ["first..", "second.", "third..", "fourth."]);
    topics.publish(TOPIC, "fifth..").unwrap();
    tokio::select! {
        _ = ws.recv() => panic!("the peer has sent nothing"),
        got = read(&mut peer, 1) => assert_eq!(got, ["fifth.."]),
    }
}

#[tokio::test]
async fn a_connection_is_one_member_of_one_topics() {
    let topics = Topics::new();
    let (ws, _peer) = websocket();
    let member = topics.join(&ws.sender()).unwrap();
    let again = topics.join(&ws.sender().clone()).unwrap();
    assert_eq!(member.id(), again.id());
    member.subscribe(TOPIC).unwrap();
    assert_eq!(again.subscriptions(), [Arc::from(TOPIC)]);
    assert_eq!(Topics::new().join(&ws.sender()).unwrap_err(), JoinError::OtherTopics);
    let (other, _peer) = websocket();
    assert!(topics.join(&other.sender()).unwrap().id() > member.id());
}

#[tokio::test]
async fn a_membership_ends_with_its_connection() {
    let topics = Topics::new();
    let (ws, _peer) = websocket();
    let sender = ws.sender();
    let member = topics.join(&sender).unwrap();
    member.subscribe(TOPIC).unwrap();
    drop(member);
    assert_eq!(topics.member_count(TOPIC), 1, "not with its handle");
    drop(ws);
    assert_eq!(topics.topic_count(), 0);
    assert_eq!(topics.join(&sender).unwrap_err(), JoinError::Closed);
}

#[tokio::test]
async fn a_server_has_topics_of_its_own_or_those_it_is_given() {
    let topics = Topics::new();
    let server = crate::Server::builder().topics(topics.clone()).without_listener().unwrap();
    let peer = Peer::in_topic(server.topics());
    assert_eq!(topics.member_count(TOPIC), 1);
    let other = crate::Server::builder().without_listener().unwrap();
    assert!(!other.topics().contains(TOPIC));
    peer.end();
}

#[tokio::test]
async fn topics_made_with_settings_count_against_the_servers_memory_budget() {
    let settings = Topics::builder().options(TopicOptions::new().history(History::new(100)));
    let builder = crate::Server::builder().topics_with(settings);
    let server = builder.without_listener().unwrap();
    let before = server.shutdown_handle().memory_used();
    server.topics().publish(TOPIC, vec![0; 1_000_000]).unwrap();
    assert!(server.shutdown_handle().memory_used() >= before + 900_000);
}

#[tokio::test]
async fn a_server_refuses_bad_settings_of_topics() {
    let settings = Topics::builder().max_topic_name(0);
    let error = crate::Server::builder().topics_with(settings).without_listener().unwrap_err();
    assert!(error.to_string().contains("max_topic_name"), "{error}");
}
