//! Logged topics: through the broker, in its order, each entry once.

use std::{sync::Arc, time::Duration};

use super::{Peer, delivery, numbers, offsets, peers, settle, unreadable};
use crate::{
    Backplane as _, ClusterError, GapCause, LogOptions, MemoryBroker,
    cluster::{local::Delivery, shared::Settings},
};

#[tokio::test(start_paused = true)]
async fn all_members_of_all_nodes_see_one_order() {
    let broker = MemoryBroker::new();
    let nodes: [Peer; 3] = peers(&broker);
    for node in &nodes {
        node.subscribe(1, "log").await;
    }
    for number in 0..30_usize {
        let published = nodes[number % 3].publish("log", &number.to_string()).await;
        assert_eq!(published.members, 0);
        assert_eq!(published.position.unwrap().offset, number as u64 + 1);
    }
    settle().await;
    for node in &nodes {
        assert_eq!(node.texts(1), numbers(0..30));
        assert_eq!(offsets(&node.topics.got(1)), (1..=30).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_gets_what_is_published_after_it_has_subscribed_here() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.publish("log", "before").await;
    here.topics.join(1, "log");
    here.publish("log", "after").await;
    settle().await;
    assert_eq!(here.texts(1), ["after"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_entry_is_read_from_the_log() {
    let broker = MemoryBroker::new();
    let [here, mut there] = peers(&broker);
    there.subscribe(1, "log").await;
    there.link.lose(3);
    for number in numbers(0..5) {
        here.publish("log", &number).await;
    }
    settle().await;
    assert_eq!(there.texts(1), numbers(0..5));
    assert!(there.gaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_published_while_a_node_was_cut_off_is_read_from_the_log() {
    let broker = MemoryBroker::new();
    let [here, mut there] = peers(&broker);
    there.subscribe(1, "log").await;
    here.publish("log", "0").await;
    settle().await;
    there.link.disconnect();
    for number in numbers(1..700) {
        here.publish("log", &number).await;
    }
    settle().await;
    there.link.connect();
    here.publish("log", "700").await;
    settle().await;
    assert_eq!(there.texts(1), numbers(0..701));
    assert!(there.gaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn repeated_entries_are_delivered_once() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.link.repeat();
    node.subscribe(1, "log").await;
    for number in numbers(0..5) {
        node.publish("log", &number).await;
    }
    settle().await;
    assert_eq!(node.texts(1), numbers(0..5));
}

#[tokio::test(start_paused = true)]
async fn holes_are_seen_by_the_numbers_alone() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.link.omit_previous();
    node.subscribe(1, "log").await;
    node.link.lose(1);
    for number in numbers(0..5) {
        node.publish("log", &number).await;
    }
    settle().await;
    assert_eq!(node.texts(1), numbers(0..5));
}

#[tokio::test(start_paused = true)]
async fn entries_that_arrive_while_the_log_is_read_follow_it() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.subscribe(1, "log").await;
    there.link.disconnect();
    here.publish("log", "0").await;
    there.link.delay(Duration::from_millis(500));
    there.link.connect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The log is asked for, and not read yet.
    for number in numbers(1..4) {
        here.publish("log", &number).await;
    }
    assert!(there.texts(1).is_empty());
    settle().await;
    assert_eq!(there.texts(1), numbers(0..4));
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_does_not_keep_is_a_gap() {
    let broker = MemoryBroker::new();
    let [here, mut there] = peers(&broker);
    there.subscribe(1, "log").await;
    there.link.disconnect();
    for number in numbers(0..10) {
        here.publish("log", &number).await;
    }
    broker.trim("log", 3);
    there.link.connect();
    settle().await;
    assert_eq!(there.gaps(), [("log".to_owned(), GapCause::Trimmed)]);
    assert_eq!(there.texts(1), numbers(7..10));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lost_its_logs_is_a_gap_and_continues_in_a_new_epoch() {
    let broker = MemoryBroker::new();
    let mut nodes: [Peer; 2] = peers(&broker);
    for node in &nodes {
        node.subscribe(1, "log").await;
    }
    nodes[0].publish("log", "before").await;
    settle().await;
    broker.restart_empty();
    settle().await;
    nodes[0].publish("log", "after").await;
    settle().await;
    for node in &mut nodes {
        assert_eq!(node.texts(1), ["before", "after"]);
        assert_eq!(node.gaps(), [("log".to_owned(), GapCause::NewEpoch)]);
        let got = node.topics.got(1);
        assert_ne!(got[0].position.unwrap().epoch, got[1].position.unwrap().epoch);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lost_the_end_of_a_log_is_a_gap() {
    let broker = MemoryBroker::new();
    let [here, mut there] = peers(&broker);
    there.subscribe(1, "log").await;
    for number in numbers(0..4) {
        here.publish("log", &number).await;
    }
    settle().await;
    there.link.disconnect();
    broker.lose_newest("log", 2);
    there.link.connect();
    settle().await;
    assert_eq!(there.gaps(), [("log".to_owned(), GapCause::Lost)]);
    here.publish("log", "again").await;
    settle().await;
    assert_eq!(offsets(&there.topics.got(1)), [1, 2, 3, 4, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_overflow_of_the_events_is_filled_from_the_log() {
    let broker = MemoryBroker::new();
    let [here] = peers(&broker);
    let mut there = Peer::new(broker.node_with_queue(600), 2);
    there.subscribe(1, "log").await;
    there.topics.set_full(true);
    for number in numbers(0..200) {
        here.publish("log", &number).await;
    }
    settle().await;
    there.topics.set_full(false);
    settle().await;
    assert_eq!(there.texts(1), numbers(0..200));
    assert!(there.gaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn entries_beyond_what_may_be_held_are_read_from_the_log() {
    let broker = MemoryBroker::new();
    let [here] = peers(&broker);
    let settings = Settings { max_held: 1024, ..Settings::default() };
    let mut there = Peer::with(Arc::new(broker.node()), 2, settings);
    there.subscribe(1, "log").await;
    there.link.delay(Duration::from_millis(500));
    there.link.lose(1);
    for number in numbers(0..300) {
        here.publish("log", &number).await;
    }
    settle().await;
    assert_eq!(there.texts(1), numbers(0..300));
    assert!(there.gaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn entries_wait_for_room_in_this_process() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.subscribe(1, "log").await;
    node.topics.set_full(true);
    for number in numbers(0..3) {
        node.publish("log", &number).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(node.texts(1).is_empty());
    node.topics.set_full(false);
    settle().await;
    assert_eq!(node.texts(1), numbers(0..3));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_read_is_a_gap_and_the_next_follows() {
    let broker = MemoryBroker::new();
    let [mut node] = peers(&broker);
    node.subscribe(1, "log").await;
    node.publish("log", "0").await;
    node.link.publish_logged("log", unreadable(), &LogOptions::default()).await.unwrap();
    node.publish("log", "1").await;
    settle().await;
    assert_eq!(node.texts(1), numbers(0..2));
    assert_eq!(node.gaps(), [("log".to_owned(), GapCause::Unreadable)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_kept_goes_to_members_as_a_live_publication() {
    let broker = MemoryBroker::new();
    let [here, mut there] = peers(&broker);
    here.subscribe(1, "log").await;
    there.subscribe(1, "log").await;
    let typing = Delivery { is_kept: false, ..delivery("typing") };
    let published = here.node.publish("log", typing).await.unwrap();
    assert_eq!((published.members, published.position), (1, None));
    here.publish("log", "text").await;
    settle().await;
    assert_eq!(here.texts(1), ["typing", "text"]);
    assert_eq!(there.texts(1), ["typing", "text"]);
    let positions: Vec<_> = there.topics.got(1).into_iter().map(|got| got.position.is_some()).collect();
    assert_eq!(positions, [false, true]);
    assert!(there.gaps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn large_entries_are_read_in_small_parts() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    there.subscribe(1, "log").await;
    there.link.disconnect();
    let large = "x".repeat(300_000);
    for _ in 0..40 {
        here.publish("log", &large).await;
    }
    there.link.connect();
    settle().await;
    assert_eq!(offsets(&there.topics.got(1)), (1..=40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_backplane_reports_is_filled() {
    let broker = MemoryBroker::new();
    let [here, mut there] = peers(&broker);
    there.subscribe(1, "log").await;
    there.subscribe(1, "news").await;
    there.link.lose(1);
    here.publish("log", "0").await;
    settle().await;
    assert!(there.texts(1).is_empty(), "nothing follows it, so the node does not notice");
    there.link.report_gap(GapCause::SlowConsumer);
    settle().await;
    assert_eq!(there.texts(1), ["0"]);
    assert_eq!(there.gaps(), [("news".to_owned(), GapCause::SlowConsumer)]);
}

#[tokio::test(start_paused = true)]
async fn without_a_broker_a_subscription_fails_at_its_deadline_and_works_later() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.link.disconnect();
    let start = tokio::time::Instant::now();
    let refused = node.node.watched("log", None).await;
    assert!(matches!(refused, Err(ClusterError::NotWatched { .. })), "{refused:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    node.topics.join(1, "log");
    node.link.connect();
    settle().await;
    node.publish("log", "0").await;
    settle().await;
    assert_eq!(node.texts(1), ["0"]);
}
