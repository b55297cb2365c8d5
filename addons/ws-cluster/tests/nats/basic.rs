use std::{collections::HashSet, time::Duration};

use async_nats::ConnectOptions;
use bytes::Bytes;
use ws_cluster::{Backplane as _, BackplaneError, BackplaneEvent, Health, nats::NatsBackplane};

use crate::{
    node::{LOG, Node, builder, bytes, is_disconnected, live, live_event, logged, logged_event, remove},
    server::NatsServer,
};

#[tokio::test]
async fn a_live_publication_reaches_every_node_that_watches_the_topic() {
    let Some(server) = NatsServer::start() else { return };
    let (mut one, mut two, mut other) =
        (Node::start(&server).await, Node::start(&server).await, Node::start(&server).await);
    one.watch_live(&["a"]).await;
    two.watch_live(&["a", "b"]).await;
    other.watch_live(&["b"]).await;
    one.live("a", "1").await;
    one.live("a", "2").await;
    assert_eq!(one.events_until_now().await, [live_event("a", "1"), live_event("a", "2")]);
    assert_eq!(two.events_until_now().await, [live_event("a", "1"), live_event("a", "2")]);
    assert_eq!(other.events_until_now().await, []);
}

#[tokio::test]
async fn all_nodes_see_a_logged_publication_at_one_position() {
    let Some(server) = NatsServer::start() else { return };
    let (mut one, mut two) = (Node::start(&server).await, Node::start(&server).await);
    one.watch_logged(&["a", "b"]).await;
    two.watch_logged(&["a"]).await;
    let first = one.append("a", "1").await;
    let between = two.append("b", "2").await;
    let second = two.append("a", "3").await;
    assert!(first.epoch > 0 && first.epoch == second.epoch && first.epoch == between.epoch);
    assert_eq!((first.offset, between.offset, second.offset), (1, 2, 3));
    let in_a = [logged_event("a", first, None, "1"), logged_event("a", second, Some(1), "3")];
    assert_eq!(two.events_until_now().await, in_a);
    let mut events = one.events_until_now().await;
    // Topics of different groups are not ordered.
    events.sort_by_key(|event| match event {
        BackplaneEvent::Logged { position, .. } => position.offset,
        _ => 0,
    });
    assert_eq!(events, [in_a[0].clone(), logged_event("b", between, None, "2"), in_a[1].clone()]);
}

#[tokio::test]
async fn a_removed_topic_is_heard_no_more() {
    let Some(server) = NatsServer::start() else { return };
    // One group, so the subscription stays.
    let mut node = Node::start_with(builder(&server).groups(1)).await;
    node.watch_live(&["a", "b"]).await;
    node.watch_logged(&["c"]).await;
    node.watch(remove(&["a", "c", "never watched"])).await.unwrap();
    node.live("a", "1").await;
    node.append("c", "2").await;
    node.live("b", "3").await;
    assert_eq!(node.events_until_now().await, [live_event("b", "3")]);
    // In both: it is watched.
    let mut both = remove(&["a"]);
    both.add_live = live(&["a"]).add_live;
    node.watch(both).await.unwrap();
    node.live("a", "4").await;
    assert_eq!(node.events_until_now().await, [live_event("a", "4")]);
}

#[tokio::test]
async fn every_name_can_be_used() {
    let Some(server) = NatsServer::start() else { return };
    let mut node = Node::start(&server).await;
    let long = ".".repeat(1_024);
    let names = ["", " ", ".", "a.b", "a..b", "*", ">", "a\r\nPING\r\n", "=2e", "ü", "\u{0}", "$JS", &long];
    node.watch_live(&names).await;
    node.watch(logged(&names)).await.unwrap();
    for name in names {
        node.live(name, name).await;
        node.append(name, name).await;
        assert_eq!(node.read(name, None).await.entries.len(), 1, "{name:?}");
    }
    let (mut live, mut logged) = (HashSet::new(), HashSet::new());
    for event in node.events_until_now().await {
        match event {
            BackplaneEvent::Live { topic, envelope } if topic.as_bytes() == envelope => live.insert(topic),
            BackplaneEvent::Logged { topic, envelope, .. } if topic.as_bytes() == envelope => {
                logged.insert(topic)
            }
            event => panic!("{event:?}"),
        };
    }
    assert_eq!((live.len(), logged.len()), (names.len(), names.len()));

    let too_long = "a".repeat(4_000);
    let error = node.watch(self::live(&[&too_long])).await.unwrap_err();
    assert!(matches!(error, BackplaneError::TopicName { name, .. } if name == too_long));
}

#[tokio::test]
async fn live_topics_need_no_jetstream() {
    let Some(mut server) = NatsServer::start_with("") else { return };
    let mut node = Node::start(&server).await;
    node.watch_live(&["a"]).await;
    node.live("a", "1").await;
    assert_eq!(node.events_until_now().await, [live_event("a", "1")]);
    let error = node.publish_logged("b", bytes("1"), &LOG).await.unwrap_err();
    assert!(matches!(error, BackplaneError::Refused { .. }), "{error:?}");
    server.restart();
    node.until(|event| *event == BackplaneEvent::Up).await;
    node.live("a", "2").await;
    assert_eq!(node.events_until_now().await, [live_event("a", "2")]);
}

#[tokio::test]
async fn nodes_of_another_prefix_are_another_cluster() {
    let Some(server) = NatsServer::start() else { return };
    let mut one = Node::start(&server).await;
    let other = Node::start_with(builder(&server).prefix("test.other")).await;
    one.watch_live(&["a"]).await;
    one.watch_logged(&["b"]).await;
    other.live("a", "1").await;
    other.append("b", "2").await;
    assert_eq!(one.events_until_now().await, []);
}

#[tokio::test]
async fn a_login_from_the_url_or_the_options_is_used() {
    let Some(server) = NatsServer::start_with(r#"authorization { user: "me", password: "word" }"#) else {
        return;
    };
    let with_url = NatsBackplane::builder(format!("nats://me:word@{}", server.host()));
    Node::start_with(with_url).await.live("a", "1").await;
    let options = ConnectOptions::new().user_and_password("me".into(), "word".into());
    let node = Node::start_with(builder(&server).connect_options(options)).await;
    node.live("a", "1").await;
    assert!(!format!("{:?}", *node).contains("word"));

    let node = Node::begin(NatsBackplane::builder(format!("nats://me:wrong@{}", server.host())));
    let error = node.publish_live("a", bytes("1")).await.unwrap_err();
    assert!(is_disconnected(&error), "{error:?}");
    assert_eq!(node.health(), Health::Disconnected);
}

#[tokio::test]
async fn after_shut_down_calls_are_refused_and_the_events_end() {
    let Some(server) = NatsServer::start() else { return };
    let mut node = Node::start(&server).await;
    node.watch_live(&["a"]).await;
    assert!(node.take_events().is_none());
    node.shut_down().await;
    assert!(matches!(node.publish_live("a", bytes("1")).await, Err(BackplaneError::Closed)));
    assert!(matches!(node.publish_logged("a", bytes("1"), &LOG).await, Err(BackplaneError::Closed)));
    assert!(matches!(node.watch(live(&["b"])).await, Err(BackplaneError::Closed)));
    assert!(matches!(node.history("a", None, 1).await, Err(BackplaneError::Closed)));
    assert!(matches!(node.presence("a").await, Err(BackplaneError::Closed)));
    assert_eq!(node.health(), Health::Disconnected);
    let end = async { while node.events.recv().await.is_some() {} };
    tokio::time::timeout(crate::server::PATIENCE, end).await.expect("the events do not end");
}

#[tokio::test]
async fn no_connection_outlives_the_backplane() {
    let Some(server) = NatsServer::start_with("max_connections: 1") else { return };
    // The server admits one connection, so each node must have closed its own.
    for _ in 0..3 {
        let node = Node::start(&server).await;
        node.shut_down().await;
    }
    for _ in 0..3 {
        drop(Node::start(&server).await);
    }
}

#[tokio::test]
async fn an_envelope_beyond_the_servers_limit_is_refused() {
    let Some(server) = NatsServer::start() else { return };
    let node = Node::start(&server).await;
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    let refused = node.publish_live("a", large.clone()).await;
    assert!(matches!(refused, Err(BackplaneError::Refused { .. })), "{refused:?}");
    let refused = node.publish_logged("a", large, &LOG).await;
    assert!(matches!(refused, Err(BackplaneError::Refused { .. })), "{refused:?}");
    node.live("a", "1").await;
}

#[tokio::test]
async fn a_watch_before_the_connection_is_done_once_it_is_there() {
    let Some(mut server) = NatsServer::start() else { return };
    server.kill();
    let mut node = Node::begin(builder(&server));
    let mut interest = live(&["a"]);
    interest.add_logged = logged(&["b"]).add_logged;
    assert!(is_disconnected(&node.watch(interest).await.unwrap_err()));
    assert!(is_disconnected(&node.publish_live("a", bytes("0")).await.unwrap_err()));
    server.restart();
    assert_eq!(node.next().await, BackplaneEvent::Up);
    node.live("a", "1").await;
    let position = node.append("b", "2").await;
    let mut events = vec![node.next().await, node.next().await];
    events.sort_by_key(|event| matches!(event, BackplaneEvent::Logged { .. }));
    assert_eq!(events, [live_event("a", "1"), logged_event("b", position, None, "2")]);
    tokio::time::timeout(Duration::from_secs(60), node.shut_down()).await.unwrap();
}
