//! A connection that is a member of topics, and the kinds of topics, for the tests with real topics.

use std::time::Duration;

use tokio::{
    io::{DuplexStream, duplex},
    time::timeout,
};
use ws_cluster::{LogOptions, Mode};
use ws_server::{
    Config, WebSocket,
    topics::{History, Member, Position, Stamp, TopicOptions, Topics},
};

/// The time after which a test fails. Nothing needs that long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A connection that is a member, seen from its peer.
pub(crate) struct Peer {
    pub(crate) member: Member,
    pub(crate) ws: WebSocket<DuplexStream>,
}

/// Topics that begin with `log` are logged.
pub(crate) fn mode(topic: &str) -> Mode {
    if is_logged(topic) { Mode::Logged(LogOptions::default()) } else { Mode::Live }
}

/// Logged topics keep `messages` and put the position in front of each.
pub(crate) fn options(topic: &str, messages: usize) -> TopicOptions {
    if is_logged(topic) {
        TopicOptions::new().history(History::new(messages)).stamp(Stamp::new("", "=", ""))
    } else {
        TopicOptions::new()
    }
}

fn is_logged(topic: &str) -> bool {
    topic.starts_with("log")
}

impl Peer {
    pub(crate) fn join(topics: &Topics) -> Self {
        let (server, client) = duplex(64 * 1024);
        let config = Config::default().validate().unwrap();
        let mut server = WebSocket::server(server, config.clone());
        let member = topics.join(&server.sender()).unwrap();
        tokio::spawn(async move { while server.recv().await.is_some() {} });
        Self { member, ws: WebSocket::client(client, config).unwrap() }
    }

    pub(crate) async fn text(&mut self) -> String {
        let message = timeout(LIMIT, self.ws.recv()).await.expect("in time").expect("a message");
        message.as_text().expect("text").to_owned()
    }

    /// A publication of a logged topic: its position and its text.
    pub(crate) async fn entry(&mut self) -> (Position, String) {
        let text = self.text().await;
        let (position, text) = text.split_once('=').expect("a stamp");
        (position.parse().expect("a position"), text.to_owned())
    }
}
