//! Nodes with real topics and connections, and a broker in memory.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod live;
mod logged;
mod presence;
mod random;
#[path = "../support/mod.rs"]
mod support;

use ws_cluster::{Cluster, MemoryBroker};
use ws_server::topics::{Position, Topics};

use support::{Peer, mode, options};

/// A node of the cluster. Topics that begin with `log` are logged.
struct Node {
    topics: Topics,
    cluster: Cluster,
}

impl Node {
    fn new(broker: &MemoryBroker) -> Self {
        let topics = Topics::builder().options_by_name(|topic| options(topic, 100)).build().unwrap();
        let cluster = Cluster::builder(&topics, broker.node()).mode(mode).start().unwrap();
        Self { topics, cluster }
    }

    fn connect(&self) -> Peer {
        Peer::join(&self.topics)
    }

    async fn subscribed(&self, topic: &str) -> Peer {
        let peer = self.connect();
        self.cluster.subscribe(&peer.member, topic).await.unwrap();
        peer
    }

    async fn publish(&self, topic: &str, text: impl ToString) -> Option<Position> {
        self.cluster.publish(topic, text.to_string()).await.unwrap().position
    }
}

impl Peer {
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.push(self.text().await);
        }
        texts
    }

    /// The texts of entries whose offsets follow each other.
    async fn entries(&mut self, count: usize) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        let mut last: Option<Position> = None;
        while texts.len() < count {
            let (position, text) = self.entry().await;
            if let Some(last) = last {
                assert_eq!(position, Position { offset: last.offset + 1, ..last });
            }
            last = Some(position);
            texts.push(text);
        }
        texts
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
