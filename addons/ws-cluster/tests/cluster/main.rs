//! Nodes with real topics and connections, and a broker in memory.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod live;
mod logged;
mod presence;
mod random;

use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use ws_cluster::{Cluster, LogOptions, MemoryBroker, Mode};
use ws_server::{
    Config, WebSocket,
    topics::{History, Member, Position, Stamp, TopicOptions, Topics},
};

const DEADLINE: Duration = Duration::from_secs(30);

/// A node of the cluster. Topics that begin with `log` are logged.
struct Node {
    topics: Topics,
    cluster: Cluster,
}

/// A connection that is a member, seen from its peer.
struct Peer {
    member: Member,
    ws: WebSocket<DuplexStream>,
}

fn mode(topic: &str) -> Mode {
    if topic.starts_with("log") { Mode::Logged(LogOptions::default()) } else { Mode::Live }
}

fn options(topic: &str) -> TopicOptions {
    if topic.starts_with("log") {
        TopicOptions::new().history(History::new(100)).stamp(Stamp::new("", "=", ""))
    } else {
        TopicOptions::new()
    }
}

impl Node {
    fn new(broker: &MemoryBroker) -> Self {
        let topics = Topics::builder().options_by_name(options).build().unwrap();
        let cluster = Cluster::builder(&topics, broker.node()).mode(mode).start().unwrap();
        Self { topics, cluster }
    }

    fn connect(&self) -> Peer {
        let (server, client) = duplex(64 * 1024);
        let config = Config::default().validate().unwrap();
        let mut server = WebSocket::server(server, config.clone());
        let member = self.topics.join(&server.sender()).unwrap();
        tokio::spawn(async move { while server.recv().await.is_some() {} });
        Peer { member, ws: WebSocket::client(client, config).unwrap() }
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
    async fn text(&mut self) -> String {
        let message =
            tokio::time::timeout(DEADLINE, self.ws.recv()).await.expect("in time").expect("a message");
        message.as_text().expect("text").to_owned()
    }

    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.push(self.text().await);
        }
        texts
    }

    /// A publication of a logged topic: its position and its text.
    async fn entry(&mut self) -> (Position, String) {
        let text = self.text().await;
        let (position, text) = text.split_once('=').expect("a stamp");
        (position.parse().expect("a position"), text.to_owned())
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
