use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{MemoryBackplane, MemoryBroker};
use crate::{
    Backplane, BackplaneError, BackplaneEvent, BackplaneEvents, GapCause, Health, Interest, LogOptions,
    Position, Topics,
};

fn logged(topics: &[&str]) -> Interest {
    let add_logged = topics.iter().map(|topic| Arc::from(*topic)).collect();
    Interest { add_logged, ..Interest::default() }
}

async fn append(node: &MemoryBackplane, topic: &str, payload: &'static str) -> Position {
    node.publish_logged(topic, Bytes::from(payload), &LogOptions::default()).await.unwrap()
}

async fn next_offset(events: &mut BackplaneEvents) -> u64 {
    match events.recv().await {
        Some(BackplaneEvent::Logged { position, .. }) => position.offset,
        other => panic!("{other:?} instead of an entry"),
    }
}

#[tokio::test]
async fn a_log_numbers_its_entries_and_gives_them_again() {
    let broker = MemoryBroker::new();
    let node = broker.node();
    let mut events = node.take_events().unwrap();
    assert!(node.take_events().is_none());
    node.watch(logged(&["a"])).await.unwrap();
    let first = append(&node, "a", "1").await;
    append(&node, "a", "2").await;
    append(&node, "a", "3").await;
    for offset in 1..=3 {
        assert_eq!(next_offset(&mut events).await, offset);
    }
    let history = node.history("a", Some(first), 1).await.unwrap();
    assert_eq!(history.entries.iter().map(|entry| entry.position.offset).collect::<Vec<_>>(), [2]);
    assert!(history.complete && history.more);
    assert_eq!(history.newest, Position { offset: 3, ..first });
    broker.trim("a", 1);
    let history = node.history("a", Some(first), 9).await.unwrap();
    assert_eq!((history.entries.len(), history.complete, history.more), (1, false, false));
}

#[tokio::test]
async fn a_node_that_is_disconnected_misses_what_is_published() {
    let broker = MemoryBroker::new();
    let (here, there) = (broker.node(), broker.node());
    let mut events = there.take_events().unwrap();
    there.watch(logged(&["a"])).await.unwrap();
    there.disconnect();
    assert_eq!(there.health(), Health::Disconnected);
    let refused = there.publish_live("a", Bytes::new()).await;
    assert!(matches!(refused, Err(BackplaneError::Disconnected { .. })));
    append(&here, "a", "missed").await;
    there.connect();
    append(&here, "a", "heard").await;
    assert_eq!(events.recv().await, Some(BackplaneEvent::Down));
    assert_eq!(events.recv().await, Some(BackplaneEvent::Up));
    assert_eq!(next_offset(&mut events).await, 2);
}

#[tokio::test]
async fn a_restart_begins_a_new_epoch() {
    let broker = MemoryBroker::new();
    let node = broker.node();
    let before = append(&node, "a", "1").await;
    broker.restart_empty();
    let history = node.history("a", Some(before), 9).await.unwrap();
    assert!(!history.complete && history.newest.epoch != before.epoch && history.newest.offset == 0);
}

#[tokio::test]
async fn an_overflow_becomes_a_gap() {
    let broker = MemoryBroker::new();
    let (here, there) = (broker.node(), broker.node_with_queue(300));
    let mut events = there.take_events().unwrap();
    there.watch(logged(&["a"])).await.unwrap();
    for _ in 0..5 {
        append(&here, "a", "payload").await;
    }
    assert_eq!(next_offset(&mut events).await, 1);
    assert_eq!(next_offset(&mut events).await, 2);
    let gap = BackplaneEvent::Gap { topics: Topics::Some(vec!["a".into()]), cause: GapCause::Overflow };
    assert_eq!(events.recv().await, Some(gap));
}

#[tokio::test]
async fn faults_change_what_a_node_hears() {
    let broker = MemoryBroker::new();
    let (here, there) = (broker.node(), broker.node());
    let mut events = there.take_events().unwrap();
    there.watch(logged(&["a"])).await.unwrap();
    there.lose(1);
    append(&here, "a", "1").await;
    there.hold();
    append(&here, "a", "2").await;
    there.report_gap(GapCause::Moved);
    assert!(matches!(events.recv().await, Some(BackplaneEvent::Gap { cause: GapCause::Moved, .. })));
    there.repeat();
    there.release();
    assert_eq!((next_offset(&mut events).await, next_offset(&mut events).await), (2, 2));
    broker.lose_newest("a", 1);
    assert_eq!(append(&here, "a", "2 again").await.offset, 2);
    there.set_deaf(true);
    assert_eq!(there.health(), Health::Deaf);
}

#[tokio::test(start_paused = true)]
async fn presence_expires() {
    let broker = MemoryBroker::new();
    let node = broker.node();
    node.set_presence("a", 7, Bytes::from_static(b"x"), Duration::from_secs(30)).await.unwrap();
    node.set_presence("a", 8, Bytes::from_static(b"y"), Duration::from_secs(10)).await.unwrap();
    assert_eq!(node.presence("a").await.unwrap().len(), 2);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(node.presence("a").await.unwrap(), [(7, Bytes::from_static(b"x"))]);
    node.set_presence("a", 7, Bytes::new(), Duration::from_secs(30)).await.unwrap();
    assert!(node.presence("a").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_operation_takes_the_delay_of_the_node() {
    let node = MemoryBroker::new().node();
    node.delay(Duration::from_millis(40));
    let start = tokio::time::Instant::now();
    append(&node, "a", "1").await;
    assert_eq!(start.elapsed(), Duration::from_millis(40));
}

#[tokio::test]
async fn a_node_that_is_shut_down_is_closed() {
    let node = MemoryBroker::new().node();
    let mut events = node.take_events().unwrap();
    node.shut_down().await;
    assert!(matches!(node.publish_live("a", Bytes::new()).await, Err(BackplaneError::Closed)));
    assert_eq!(events.recv().await, None);
}
