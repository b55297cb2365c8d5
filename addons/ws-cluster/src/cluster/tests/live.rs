//! Live topics: at once on this node, at most once on the others.

use std::{sync::Arc, time::Duration};

use super::{Peer, delivery, numbers, peers, settle, unreadable};
use crate::{
    Backplane as _, BackplaneError, ClusterError, ClusterEvent, GapCause, Health, MemoryBroker,
    cluster::shared::Settings,
};

#[tokio::test(start_paused = true)]
async fn publications_reach_the_members_of_all_nodes_once_in_the_order_of_the_publisher() {
    let broker = MemoryBroker::new();
    let nodes: [Peer; 3] = peers(&broker);
    for node in &nodes {
        node.subscribe(1, "news").await;
        node.subscribe(2, "news").await;
    }
    for number in numbers(0..20) {
        assert_eq!(nodes[0].publish("news", &number).await.members, 2);
    }
    settle().await;
    for node in &nodes {
        assert_eq!(node.texts(1), numbers(0..20));
        assert_eq!(node.texts(2), numbers(0..20));
    }
}

#[tokio::test(start_paused = true)]
async fn members_of_this_node_get_a_publication_before_publish_returns() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.link.delay(Duration::from_millis(100));
    node.subscribe(1, "news").await;
    let publishing = node.publish("news", "now");
    tokio::pin!(publishing);
    assert!(tokio::time::timeout(Duration::from_millis(1), &mut publishing).await.is_err());
    assert_eq!(node.texts(1), ["now"]);
    publishing.await;
    settle().await;
    assert_eq!(node.texts(1), ["now"], "the echo is recognised");
}

#[tokio::test(start_paused = true)]
async fn a_publication_with_all_its_options_arrives() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    here.subscribe(1, "news").await;
    here.subscribe(2, "news").await;
    there.subscribe(1, "news").await;
    let mut options = delivery("text");
    options.except = Some(1);
    here.node.publish("news", options).await.unwrap();
    settle().await;
    assert!(here.texts(1).is_empty(), "the excepted member");
    assert_eq!(here.texts(2), ["text"]);
    assert_eq!(there.texts(1), ["text"], "a member with the same number on another node");
}

#[tokio::test(start_paused = true)]
async fn local_topics_stay_on_their_node() {
    let broker = MemoryBroker::new();
    let [here, there] = peers(&broker);
    for node in [&here, &there] {
        assert!(node.node.watched("here", None).await.unwrap().is_none());
        node.topics.join(1, "here");
    }
    assert_eq!(here.publish("here", "text").await.members, 1);
    settle().await;
    assert!(there.texts(1).is_empty() && there.watched().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_a_disconnect_one_gap_names_the_live_topics() {
    let broker = MemoryBroker::new();
    let [here, mut there] = peers(&broker);
    there.subscribe(1, "a").await;
    there.subscribe(1, "b").await;
    there.subscribe(1, "log").await;
    settle().await;
    there.link.disconnect();
    assert_eq!(there.node.health(), Health::Disconnected);
    here.publish("a", "missed").await;
    settle().await;
    assert_eq!(there.reported(), [ClusterEvent::Down]);
    there.link.connect();
    settle().await;
    let events = there.reported();
    assert_eq!(events[0], ClusterEvent::Up);
    let [ClusterEvent::Gap { topics, cause: GapCause::Disconnected }] = &events[1..] else {
        panic!("{events:?} instead of one gap")
    };
    let mut topics: Vec<_> = topics.iter().map(|topic| &**topic).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["a", "b"]);
    here.publish("a", "heard").await;
    settle().await;
    assert_eq!(there.texts(1), ["heard"]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_backplane_has_named_is_not_reported_again_at_up() {
    let broker = MemoryBroker::new();
    let [mut node] = peers(&broker);
    for topic in ["a", "b", "log"] {
        node.subscribe(1, topic).await;
    }
    settle().await;
    let _ = node.gaps();
    for _ in 0..2 {
        node.link.disconnect();
        node.link.report_gap_in(&["a", "log"], GapCause::Disconnected);
        // Publications were dropped; that does not say that it is watched again.
        node.link.report_gap_in(&["b"], GapCause::Overflow);
        node.link.connect();
        settle().await;
        let gap = |topic: &str, cause| (topic.to_owned(), cause);
        let expected = [
            gap("a", GapCause::Disconnected),
            gap("b", GapCause::Overflow),
            gap("b", GapCause::Disconnected),
        ];
        assert_eq!(node.gaps(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_the_broker_does_not_take_is_an_error_that_names_who_has_it() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.subscribe(1, "news").await;
    node.link.disconnect();
    match node.try_publish("news", "text").await {
        Err(ClusterError::NotPublished { members: 1, source: BackplaneError::Disconnected { .. } }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(node.texts(1), ["text"]);
}

#[tokio::test(start_paused = true)]
async fn an_overflow_of_the_events_is_a_gap() {
    let broker = MemoryBroker::new();
    let [here] = peers(&broker);
    let mut there = Peer::new(broker.node_with_queue(600), 2);
    there.subscribe(1, "news").await;
    there.topics.set_full(true);
    for number in numbers(0..20) {
        here.publish("news", &number).await;
    }
    settle().await;
    there.topics.set_full(false);
    settle().await;
    assert_eq!(there.gaps(), [("news".to_owned(), GapCause::Overflow)]);
    let texts = there.texts(1);
    assert!(!texts.is_empty() && texts.len() < 20);
    assert_eq!(texts, numbers(0..texts.len()), "those before the gap");
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_cannot_be_read_is_a_gap() {
    let broker = MemoryBroker::new();
    let [mut node] = peers(&broker);
    let other = broker.node();
    node.subscribe(1, "news").await;
    other.publish_live("news", unreadable()).await.unwrap();
    settle().await;
    assert_eq!(node.gaps(), [("news".to_owned(), GapCause::Unreadable)]);
}

#[tokio::test(start_paused = true)]
async fn a_publication_waits_for_room_in_this_process() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.subscribe(1, "news").await;
    node.topics.set_full(true);
    let publishing = node.publish("news", "text");
    tokio::pin!(publishing);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut publishing).await.is_err());
    node.topics.set_full(false);
    assert_eq!(publishing.await.members, 1);
    node.topics.set_full(true);
    let refused = node.try_publish("news", "text").await;
    assert!(matches!(refused, Err(ClusterError::Publish(_))), "after the deadline: {refused:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_in_flight_are_bounded_and_publications_wait_for_room_until_their_deadline() {
    let broker = MemoryBroker::new();
    let link = Arc::new(broker.node());
    let settings = Settings { max_in_flight: 1024, ..Settings::default() };
    let node = Arc::new(Peer::with(link, 1, settings));
    node.link.delay(Duration::from_secs(3));
    let large = "x".repeat(700);
    let publish = || {
        let (node, large) = (Arc::clone(&node), large.clone());
        tokio::spawn(async move { node.try_publish("news", &large).await })
    };
    let (first, second) = (publish(), publish());
    assert!(first.await.unwrap().is_ok());
    let second = second.await.unwrap();
    assert!(
        matches!(second, Err(ClusterError::NotPublished { source: BackplaneError::TimedOut { .. }, .. })),
        "2 s are left of 5: {second:?}"
    );
    let waiting: Vec<_> = (0..3).map(|_| publish()).collect();
    let mut results = Vec::new();
    for publication in waiting {
        results.push(publication.await.unwrap());
    }
    assert!(matches!(&results[2], Err(ClusterError::Full { limit: 1024, len: 719, .. })), "{results:?}");
    let huge = "x".repeat(5000);
    assert!(node.try_publish("news", &huge).await.is_ok(), "a single publication may be larger");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_once_the_cluster_is_shut_down() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.subscribe(1, "news").await;
    node.node.shut_down().await;
    assert!(matches!(node.try_publish("news", "text").await, Err(ClusterError::Closed)));
    assert!(matches!(node.node.watched("news", None).await, Err(ClusterError::Closed)));
    assert!(matches!(node.link.publish_live("news", "".into()).await, Err(BackplaneError::Closed)));
    assert_eq!(node.node.health(), Health::Disconnected);
    node.node.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn the_tasks_end_when_the_last_handle_is_dropped() {
    let broker = MemoryBroker::new();
    let [Peer { node, link, .. }] = peers(&broker);
    drop(node);
    settle().await;
    assert!(matches!(link.publish_live("news", "".into()).await, Err(BackplaneError::Closed)));
}
