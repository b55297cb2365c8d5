use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use ws_cluster::{
    Backplane as _, BackplaneError, BackplaneEvent, GapCause, Health, LogOptions, Position, Topics,
};

use crate::{
    node::{LOG, Node, builder, bytes, eventually, is_disconnected, live_event, logged_event, texts},
    server::{NatsServer, PATIENCE},
};

fn is_up(event: &BackplaneEvent) -> bool {
    *event == BackplaneEvent::Up
}

#[tokio::test]
async fn a_killed_server_is_down_and_then_up_with_its_log() {
    let Some(mut server) = NatsServer::start() else { return };
    let (mut node, mut other) = (Node::start(&server).await, Node::start(&server).await);
    node.watch_live(&["a"]).await;
    node.watch_logged(&["b"]).await;
    let before = node.append("b", "1").await;
    assert_eq!(node.next().await, logged_event("b", before, None, "1"));

    server.kill();
    assert_eq!(node.next().await, BackplaneEvent::Down);
    assert_eq!(node.health(), Health::Disconnected);
    assert!(is_disconnected(&node.publish_live("a", bytes("lost")).await.unwrap_err()));
    assert!(is_disconnected(&node.publish_logged("b", bytes("lost"), &LOG).await.unwrap_err()));
    assert!(is_disconnected(&node.history("b", None, 1).await.unwrap_err()));

    server.restart();
    assert_eq!(node.next().await, BackplaneEvent::Up);
    other.until(is_up).await;
    assert_eq!(node.health(), Health::Healthy);
    other.live("a", "2").await;
    assert_eq!(node.next().await, live_event("a", "2"));
    let after = other.append("b", "3").await;
    assert_eq!(node.next().await, logged_event("b", after, Some(before.offset), "3"));
    let history = node.read("b", Some(before)).await;
    assert_eq!((texts(&history), history.complete), (vec!["3".to_owned()], true));
    assert_eq!(after, Position { epoch: before.epoch, offset: before.offset + 1 });
}

#[tokio::test]
async fn a_server_with_an_empty_store_begins_a_new_epoch() {
    let Some(mut server) = NatsServer::start() else { return };
    let (mut node, mut other) = (Node::start(&server).await, Node::start(&server).await);
    node.watch_logged(&["a"]).await;
    other.watch_logged(&["a"]).await;
    node.append("a", "1").await;
    let old = node.append("a", "2").await;

    server.restart_empty();
    node.until(is_up).await;
    other.until(is_up).await;
    let history = node.read("a", Some(old)).await;
    assert!(!history.complete && history.entries.is_empty() && history.newest.offset == 0);
    assert_ne!(history.newest.epoch, old.epoch);

    let new = other.append("a", "3").await;
    assert_eq!(new, Position { epoch: history.newest.epoch, offset: 1 });
    assert_eq!(node.next().await, logged_event("a", new, None, "3"));
    assert_eq!(other.next().await, logged_event("a", new, None, "3"));
    assert!(!node.read("a", Some(old)).await.complete);
}

#[tokio::test]
async fn a_stream_that_is_deleted_while_nodes_are_connected_is_created_again() {
    let Some(server) = NatsServer::start() else { return };
    let (mut node, mut other) = (Node::start(&server).await, Node::start(&server).await);
    node.watch_logged(&["a"]).await;
    other.watch_logged(&["a"]).await;
    let old = node.append("a", "1").await;
    assert_eq!(server.api("STREAM.DELETE.test_log", "").await["success"], true);

    // Each node sees it, whichever creates the stream.
    for node in [&mut node, &mut other] {
        node.until(|event| *event == BackplaneEvent::Down).await;
        assert_eq!(node.next().await, BackplaneEvent::Up);
    }
    let new = other.append("a", "2").await;
    assert_ne!(new.epoch, old.epoch);
    assert_eq!(node.next().await, logged_event("a", new, None, "2"));
    assert!(!node.read("a", Some(old)).await.complete);
}

#[tokio::test]
async fn the_next_entry_shows_a_new_stream_to_a_node_that_has_only_read() {
    let Some(server) = NatsServer::start() else { return };
    // In the new stream, the entry's offset is one that was read, or a higher one.
    for entries_before in [0, 5] {
        let publisher = Node::start(&server).await;
        // No periodic check comes first.
        let mut reader = Node::start_with(builder(&server).probe_interval(Duration::from_secs(3_600))).await;
        let mut old = publisher.append("a", "1").await;
        for text in ["2", "3"] {
            old = publisher.append("a", text).await;
        }
        reader.watch_logged(&["a"]).await;
        assert_eq!(reader.read("a", None).await.newest, old);

        assert_eq!(server.api("STREAM.DELETE.test_log", "").await["success"], true);
        for _ in 0..entries_before {
            publisher.append("b", "").await;
        }
        let new = publisher.append("a", "4").await;
        assert_eq!(new.offset, entries_before + 1);
        reader.until(|event| *event == BackplaneEvent::Down).await;
        assert_eq!(reader.next().await, BackplaneEvent::Up);
        assert_eq!(reader.read("a", Some(old)).await.newest, new);
    }
}

#[tokio::test]
async fn an_entry_behind_those_that_were_purged_is_no_new_stream() {
    let Some(server) = NatsServer::start() else { return };
    let mut node = Node::start_with(builder(&server).probe_interval(Duration::from_secs(3_600))).await;
    node.watch_logged(&["a"]).await;
    let first = node.append("a", "1").await;
    assert_eq!(server.api("STREAM.PURGE.test_log", "").await["success"], true);
    let second = node.append("a", "2").await;
    let third = node.append("a", "3").await;
    let expected = [
        logged_event("a", first, None, "1"),
        logged_event("a", second, None, "2"),
        logged_event("a", third, Some(second.offset), "3"),
    ];
    assert_eq!(node.events_until_now().await, expected);
}

#[tokio::test]
async fn publishing_after_the_stream_was_deleted_begins_a_new_epoch() {
    let Some(server) = NatsServer::start() else { return };
    // No periodic check comes first.
    let node = Node::start_with(builder(&server).probe_interval(Duration::from_secs(3_600))).await;
    let old = node.append("a", "1").await;
    assert_eq!(server.api("STREAM.DELETE.test_log", "").await["success"], true);
    let new = node.append("a", "2").await;
    assert!(new.epoch != old.epoch && new.offset == 1);
}

#[tokio::test]
async fn a_server_that_stops_is_deaf_and_nothing_is_lost_once_it_continues() {
    let Some(server) = NatsServer::start() else { return };
    let hasty = Node::start_with(builder(&server).deadline(Duration::from_secs(1))).await;
    let mut node = Node::start_with(builder(&server).probe_timeout(Duration::from_secs(3))).await;
    node.watch_live(&["a"]).await;
    node.watch_logged(&["b"]).await;
    server.pause();
    let timed_out = hasty.publish_live("a", bytes("1")).await.unwrap_err();
    assert!(matches!(timed_out, BackplaneError::TimedOut { after } if after == Duration::from_secs(1)));
    node.health_is(Health::Deaf).await;
    // It connects again, and cannot.
    assert_eq!(node.until(|event| *event == BackplaneEvent::Down).await, BackplaneEvent::Down);
    server.resume();
    node.until(is_up).await;
    node.health_is(Health::Healthy).await;
    node.live("a", "2").await;
    // The server may have had the first one before the connection was given up.
    node.until(|event| *event == live_event("a", "2")).await;
}

#[tokio::test]
async fn a_publication_that_is_sent_again_is_in_the_log_once() {
    let Some(server) = NatsServer::start() else { return };
    let deadline = Duration::from_secs(30);
    let mut node = Node::start_with(builder(&server).deadline(deadline).probe_timeout(deadline)).await;
    node.watch_logged(&["a"]).await;
    server.pause();
    let publisher = Arc::clone(&node.backplane);
    let publishing = publisher.publish_logged("a", bytes("1"), &LOG);
    tokio::pin!(publishing);
    // A third of the deadline, and some.
    let time = timeout(deadline / 3 + Duration::from_secs(2), &mut publishing).await;
    assert!(time.is_err(), "a stopped server has answered");
    server.resume();
    let position = publishing.await.unwrap();
    assert_eq!(node.next().await, logged_event("a", position, None, "1"));
    assert_eq!(texts(&node.read("a", None).await), ["1"]);
    let after = node.append("a", "2").await;
    assert_eq!(node.next().await, logged_event("a", after, Some(position.offset), "2"));
}

#[tokio::test]
async fn a_logged_publication_survives_a_restart_within_its_deadline() {
    let Some(mut server) = NatsServer::start() else { return };
    let deadline = Duration::from_secs(60);
    let mut node = Node::start_with(builder(&server).deadline(deadline)).await;
    node.append("a", "0").await;
    server.pause();
    let publisher = Arc::clone(&node.backplane);
    let publishing = publisher.publish_logged("a", bytes("1"), &LOG);
    tokio::pin!(publishing);
    assert!(timeout(Duration::from_millis(300), &mut publishing).await.is_err());
    server.restart();
    publishing.await.unwrap();
    node.until(is_up).await;
    assert_eq!(texts(&node.read("a", None).await), ["0", "1"]);
}

/// The test's runtime has one thread, so the client reads many messages before the receiver runs.
#[tokio::test]
async fn messages_that_the_client_drops_are_a_gap() {
    let Some(server) = NatsServer::start() else { return };
    let mut node = Node::start_with(builder(&server).groups(1).subscription_capacity(8)).await;
    node.watch_live(&["a"]).await;
    let publisher = async_nats::connect(server.url()).await.unwrap();
    // A message that ends the wait could be dropped too, so the wait is for the report itself.
    let publishing = async {
        loop {
            for _ in 0..200 {
                publisher.publish("test.live.0.a", bytes("1")).await.unwrap();
            }
            publisher.flush().await.unwrap();
        }
    };
    let first_of_another_kind = node.until(|event| *event != live_event("a", "1"));
    let event = tokio::select! {
        event = timeout(PATIENCE, first_of_another_kind) => event.expect("no loss was reported"),
        () = publishing => unreachable!("it publishes until it is dropped"),
    };
    assert_eq!(event, BackplaneEvent::Gap { topics: Topics::All, cause: GapCause::SlowConsumer });
}

#[tokio::test]
async fn events_that_are_not_taken_are_a_gap() {
    let Some(server) = NatsServer::start() else { return };
    let mut node = Node::start_with(builder(&server).max_event_bytes(1_000)).await;
    node.watch_live(&["a"]).await;
    for number in 0..20 {
        node.live("a", &number.to_string()).await;
    }
    let events = node.until(|event| matches!(event, BackplaneEvent::Gap { .. })).await;
    let topics = Topics::Some(vec!["a".into()]);
    assert_eq!(events, BackplaneEvent::Gap { topics, cause: GapCause::Overflow });
}

#[tokio::test]
async fn jetstream_that_comes_back_late_is_waited_for() {
    let Some(mut server) = NatsServer::start() else { return };
    let mut node = Node::start(&server).await;
    node.watch_logged(&["a"]).await;
    let options = LogOptions::new(10, Duration::from_secs(100));
    for restart in 0..3 {
        server.restart();
        node.until(is_up).await;
        node.publish_logged("a", bytes(&restart.to_string()), &options).await.unwrap();
    }
    eventually(async || node.read("a", None).await.entries.len() == 3).await;
}
