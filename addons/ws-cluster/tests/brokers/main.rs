//! Clusters on real brokers: `redis-server` and `nats-server`, each started by its test. Without them, the tests are
//! skipped, or fail if `WS_REQUIRE_PEERS=1` is set.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod faults;
mod load;
#[path = "../redis/masters.rs"]
mod masters;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../nats/server.rs"]
mod nats_server;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../redis/server.rs"]
mod redis_server;
mod scale;
#[path = "../support/mod.rs"]
mod support;

use redis_server as server;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use ws_cluster::{
    Backplane, Cluster, ClusterEvent, ClusterEvents, GapCause, Health, PresenceEvent, nats::NatsBackplane,
    redis::RedisBackplane,
};
use ws_server::topics::{Position, PublishOptions, Recovered, SubscribeOptions, Topics};

use support::{LIMIT, Peer, mode, options};

struct Node {
    cluster: Cluster,
    events: ClusterEvents,
}

impl Node {
    async fn new(backplane: impl Backplane) -> Self {
        let topics = Topics::builder().options_by_name(|topic| options(topic, 500)).build().unwrap();
        let builder = Cluster::builder(&topics, backplane).mode(mode).deadline(Duration::from_secs(20));
        let cluster = builder.start().unwrap();
        let events = cluster.events();
        let node = Self { cluster, events };
        node.wait_until_healthy().await;
        node
    }

    async fn wait_until_healthy(&self) {
        let healthy = async {
            while self.cluster.health() != Health::Healthy {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, healthy).await.expect("healthy in time");
    }

    fn connect(&self) -> Peer {
        Peer::join(self.cluster.topics())
    }

    async fn subscribed(&self, topic: &str) -> Peer {
        let peer = self.connect();
        self.cluster.subscribe(&peer.member, topic).await.unwrap();
        peer
    }

    async fn publish(&self, topic: &str, text: impl ToString) -> Option<Position> {
        self.cluster.publish(topic, text.to_string()).await.unwrap().position
    }

    /// Waits for an event, and returns the gaps in front of it.
    async fn wait_for(&mut self, is_it: impl Fn(&ClusterEvent) -> bool) {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the cluster runs");
                if is_it(&event) {
                    return;
                }
            }
        };
        timeout(LIMIT, found).await.expect("the event in time");
    }
}

async fn live_topics(here: &Node, there: &Node) {
    let (mut near, mut far) = (here.subscribed("news").await, there.subscribed("news").await);
    for number in 0..200 {
        here.publish("news", number).await;
    }
    for number in 0..200 {
        assert_eq!(near.text().await, number.to_string());
        assert_eq!(far.text().await, number.to_string());
    }
}

async fn logged_topics(here: &Node, there: &Node) {
    let (mut near, mut far) = (here.subscribed("log-1").await, there.subscribed("log-1").await);
    let mut first = None;
    for number in 0..200 {
        let node = if number % 2 == 0 { here } else { there };
        let position = node.publish("log-1", number).await.unwrap();
        first.get_or_insert(position);
        assert_eq!(near.entry().await, (position, number.to_string()));
        assert_eq!(far.entry().await, (position, number.to_string()));
    }
    // A peer that comes back, to a node that does not follow the topic any more or still does.
    let first = first.unwrap();
    let mut back = there.connect();
    let subscribed = there.cluster.subscribe_from(&back.member, "log-1", first).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::All { messages: 199 });
    for number in 1..200 {
        assert_eq!(back.entry().await.1, number.to_string());
    }
    let options = PublishOptions::new().history(false);
    here.cluster.publish_with("log-1", "typing", options).await.unwrap();
    assert_eq!(back.text().await, "typing");
}

/// Members that come back to a node without any member of the topic.
async fn positions(here: &Node, there: &Node) {
    let first = here.publish("log-2", 0).await.unwrap();
    let mut last = first;
    for number in 1..50 {
        last = here.publish("log-2", number).await.unwrap();
    }
    let current = there.connect();
    let subscribed = there.cluster.subscribe_from(&current.member, "log-2", last).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::All { messages: 0 });
    assert_eq!(subscribed.position, Some(last));
    let mut back = there.connect();
    let subscribed = there.cluster.subscribe_from(&back.member, "log-2", first).await.unwrap();
    assert_eq!(subscribed.recovered, Recovered::All { messages: 49 });
    here.publish("log-2", 50).await;
    for number in 1..51 {
        assert_eq!(back.entry().await.1, number.to_string());
    }
}

async fn presence(here: &Node, there: &Node) {
    for topic in ["hall", "log-hall"] {
        let mut events = there.cluster.presence_events();
        let _watching = there.subscribed(topic).await;
        let ann = here.connect();
        let options = SubscribeOptions::new().presence(Bytes::from_static(b"ann"));
        here.cluster.subscribe_with(&ann.member, topic, options).await.unwrap();
        let joined = timeout(LIMIT, events.recv()).await.expect("in time");
        assert!(matches!(joined, Some(PresenceEvent::Joined { data, .. }) if data == "ann"));
        let count = |expected: usize| async move {
            while there.cluster.presence(topic).await.unwrap().len() != expected {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, count(1)).await.expect("in time");
        drop(ann);
        timeout(LIMIT, count(0)).await.expect("in time");
    }
}

/// The broker was killed and started again.
async fn after_a_restart(here: &mut Node, there: &mut Node, before: Position, follows: bool) {
    let is_gap = |event: &ClusterEvent| matches!(event, ClusterEvent::Gap { topics, cause: GapCause::Disconnected } if topics.iter().any(|topic| &**topic == "news-2"));
    here.wait_for(is_gap).await;
    there.wait_for(is_gap).await;
    here.wait_until_healthy().await;
    there.wait_until_healthy().await;
    let after = here.publish("log-3", "after").await.unwrap();
    assert_eq!(after.epoch == before.epoch, follows, "{before}, {after}");
}

async fn restart(mut here: Node, mut there: Node, restart: impl AsyncFnOnce(), follows: bool) {
    let (_near, _far) = (here.subscribed("news-2").await, there.subscribed("news-2").await);
    let mut far = there.subscribed("log-3").await;
    let before = here.publish("log-3", "before").await.unwrap();
    assert_eq!(far.entry().await, (before, "before".to_owned()));
    restart().await;
    after_a_restart(&mut here, &mut there, before, follows).await;
    assert_eq!(far.entry().await.1, "after");
}

async fn all(here: Node, there: Node) {
    live_topics(&here, &there).await;
    logged_topics(&here, &there).await;
    positions(&here, &there).await;
    presence(&here, &there).await;
    here.cluster.shut_down().await;
    there.cluster.shut_down().await;
}

fn on_redis(server: &redis_server::Server) -> RedisBackplane {
    let builder = RedisBackplane::builder([server.url()]);
    builder.probe_interval(Duration::from_millis(200)).probe_timeout(Duration::from_secs(10)).start().unwrap()
}

fn on_nats(server: &nats_server::NatsServer) -> NatsBackplane {
    let builder = NatsBackplane::builder(server.url());
    builder.probe_interval(Duration::from_millis(200)).probe_timeout(Duration::from_secs(10)).start().unwrap()
}

#[tokio::test]
async fn a_cluster_works_on_redis() {
    let Some(server) = redis_server::Server::start(&[]).await else { return };
    all(Node::new(on_redis(&server)).await, Node::new(on_redis(&server)).await).await;
}

#[tokio::test]
async fn a_cluster_works_on_nats() {
    let Some(server) = nats_server::NatsServer::start() else { return };
    all(Node::new(on_nats(&server)).await, Node::new(on_nats(&server)).await).await;
}

#[tokio::test]
async fn a_redis_server_that_lost_everything_begins_a_new_epoch() {
    let Some(mut server) = redis_server::Server::start(&[]).await else { return };
    let (here, there) = (Node::new(on_redis(&server)).await, Node::new(on_redis(&server)).await);
    let again = async || {
        server.kill();
        server.run().await;
    };
    restart(here, there, again, false).await;
}

#[tokio::test]
async fn a_nats_server_that_kept_its_store_continues() {
    let Some(mut server) = nats_server::NatsServer::start() else { return };
    let (here, there) = (Node::new(on_nats(&server)).await, Node::new(on_nats(&server)).await);
    restart(here, there, async || server.restart(), true).await;
}
