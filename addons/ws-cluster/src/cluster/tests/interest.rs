//! What the broker delivers to a node.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{Peer, peers, settle};
use crate::{
    Backplane, BackplaneError, BackplaneEvents, BoxFuture, ClusterError, ClusterEvent, Health, History,
    Interest, LogOptions, MemoryBackplane, MemoryBroker, Position, cluster::shared::Settings,
};

#[tokio::test(start_paused = true)]
async fn topics_are_watched_while_they_have_members() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.topics.join(1, "a");
    node.topics.join(2, "a");
    node.topics.join(1, "log");
    settle().await;
    assert_eq!(node.watched(), ["a", "log"]);
    node.topics.leave(1, "a");
    node.topics.leave(1, "log");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(node.watched(), ["a"]);
    node.topics.leave(2, "a");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(node.watched().is_empty());
    node.topics.join(1, "a");
    settle().await;
    assert_eq!(node.watched(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn topics_that_exist_before_the_cluster_are_watched() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    // A lost event is the same: the names are read.
    node.topics.join(1, "a");
    let again = Peer::new(broker.node(), 2);
    again.topics.join(1, "b");
    settle().await;
    assert_eq!(node.watched(), ["a"]);
    assert_eq!(again.watched(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_back_soon_changes_nothing_at_the_broker() {
    let broker = MemoryBroker::new();
    let (node, picky) = picky(&broker);
    node.topics.join(1, "a");
    settle().await;
    let asked = picky.asked.load(Ordering::Relaxed);
    for _ in 0..20 {
        node.topics.leave(1, "a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        node.topics.join(1, "a");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(picky.asked.load(Ordering::Relaxed), asked);
    assert_eq!(node.watched(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_used_again_before_the_broker_was_told_stay_watched() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    let name = |number: usize| format!("topic-{number}");
    (0..5000).for_each(|number| node.topics.join(1, &name(number)));
    settle().await;
    (0..5000).for_each(|number| node.topics.leave(1, &name(number)));
    // They are forgotten after 5 s, and the broker is told 2 ms later.
    tokio::time::sleep(Duration::from_millis(5001)).await;
    (0..5000).rev().for_each(|number| node.topics.join(1, &name(number)));
    settle().await;
    assert_eq!(node.watched().len(), 5000);
}

#[tokio::test(start_paused = true)]
async fn changes_are_gathered() {
    let broker = MemoryBroker::new();
    let (node, picky) = picky(&broker);
    for number in 0..4000 {
        node.topics.join(1, &format!("topic-{number}"));
    }
    settle().await;
    assert_eq!(node.watched().len(), 4000);
    let asked = picky.asked.load(Ordering::Relaxed);
    assert!(asked <= 3, "{asked} requests");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_the_broker_refuses_does_not_keep_others_from_being_watched() {
    let broker = MemoryBroker::new();
    let (mut node, _) = picky(&broker);
    for number in 0..100 {
        node.topics.join(1, &format!("topic-{number}"));
    }
    node.topics.join(1, "bad");
    let refused = node.node.watched("bad", None).await;
    assert!(
        matches!(&refused, Err(ClusterError::CannotWatch { topic, .. }) if topic == "bad"),
        "{refused:?}"
    );
    settle().await;
    assert_eq!(node.watched().len(), 100);
    let is_refusal = |event: &ClusterEvent| matches!(event, ClusterEvent::CannotWatch { topic, reason } if &**topic == "bad" && reason.contains("picky"));
    assert!(node.reported().iter().any(is_refusal));
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_changes_wait() {
    let broker = MemoryBroker::new();
    let [node] = peers(&broker);
    node.topics.join(1, "a");
    settle().await;
    node.link.disconnect();
    node.topics.leave(1, "a");
    node.topics.join(1, "b");
    tokio::time::sleep(Duration::from_secs(60)).await;
    node.link.connect();
    settle().await;
    assert_eq!(node.watched(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_backplane_that_panics_ends_nothing() {
    let broker = MemoryBroker::new();
    let (node, picky) = picky(&broker);
    *picky.panics.lock().unwrap() = true;
    node.topics.join(1, "a");
    settle().await;
    assert!(node.watched().is_empty());
    *picky.panics.lock().unwrap() = false;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(node.watched(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_topics_are_watched_and_read_again() {
    let broker = MemoryBroker::new();
    let (node, picky) = picky(&broker);
    let start = std::time::Instant::now();
    for number in 0..50_000 {
        node.topics.join(1, &format!("live-{number}"));
        node.topics.join(1, &format!("log-{number}"));
    }
    settle().await;
    assert_eq!(node.watched().len(), 100_000);
    assert!(picky.asked.load(Ordering::Relaxed) < 100);
    broker.restart_empty();
    settle().await;
    let [other] = peers(&broker);
    other.publish("log-49999", "text").await;
    other.publish("live-49999", "text").await;
    settle().await;
    assert_eq!(node.texts(1), ["text", "text"]);
    // Far more than it takes, even on a slow machine without optimisation.
    assert!(start.elapsed() < Duration::from_secs(100), "{:?}", start.elapsed());
}

/// Refuses topics that begin with `bad`, counts requests, and panics on demand.
#[derive(Debug)]
struct Picky {
    inner: Arc<MemoryBackplane>,
    asked: AtomicUsize,
    panics: Mutex<bool>,
}

fn picky(broker: &MemoryBroker) -> (Peer, Arc<Picky>) {
    let link = Arc::new(broker.node());
    let picky =
        Arc::new(Picky { inner: Arc::clone(&link), asked: AtomicUsize::new(0), panics: Mutex::new(false) });
    let peer = Peer::on(link, Arc::clone(&picky) as _, 77, Settings::default());
    (peer, picky)
}

impl Backplane for Picky {
    fn publish_live<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        self.inner.publish_live(topic, envelope)
    }

    fn publish_logged<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<Position, BackplaneError>> {
        self.inner.publish_logged(topic, envelope, options)
    }

    fn watch(&self, change: Interest) -> BoxFuture<'_, Result<(), BackplaneError>> {
        assert!(!*self.panics.lock().unwrap(), "on demand");
        self.asked.fetch_add(1, Ordering::Relaxed);
        if change.add_live.iter().any(|topic| topic.starts_with("bad")) {
            return Box::pin(async { Err(BackplaneError::Refused { source: "picky".into() }) });
        }
        self.inner.watch(change)
    }

    fn history<'a>(
        &'a self,
        topic: &'a str,
        since: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, BackplaneError>> {
        self.inner.history(topic, since, limit)
    }

    fn set_presence<'a>(
        &'a self,
        topic: &'a str,
        node: u64,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        self.inner.set_presence(topic, node, value, ttl)
    }

    fn presence<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<(u64, Bytes)>, BackplaneError>> {
        self.inner.presence(topic)
    }

    fn take_events(&self) -> Option<BackplaneEvents> {
        self.inner.take_events()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn shut_down(&self) -> BoxFuture<'_, ()> {
        self.inner.shut_down()
    }
}
