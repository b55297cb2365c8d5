//! A node of a test's cluster.

use std::{ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;
use ws_cluster::{
    Backplane as _, BackplaneError, BackplaneEvent, BackplaneEvents, Health, History, Interest, LogOptions,
    Position,
    nats::{NatsBackplane, NatsBackplaneBuilder},
};

use crate::server::{NatsServer, PATIENCE};

pub(crate) const LOG: LogOptions = LogOptions::new(1_000, Duration::from_secs(300));

pub(crate) struct Node {
    pub(crate) backplane: Arc<NatsBackplane>,
    pub(crate) events: BackplaneEvents,
}

impl Deref for Node {
    type Target = NatsBackplane;

    fn deref(&self) -> &NatsBackplane {
        &self.backplane
    }
}

pub(crate) fn builder(server: &NatsServer) -> NatsBackplaneBuilder {
    NatsBackplane::builder(server.url())
        .prefix("test")
        .probe_interval(Duration::from_millis(200))
        .probe_timeout(Duration::from_secs(10))
        .deadline(Duration::from_secs(20))
}

impl Node {
    /// A node that is connected.
    pub(crate) async fn start(server: &NatsServer) -> Self {
        Self::start_with(builder(server)).await
    }

    pub(crate) async fn start_with(builder: NatsBackplaneBuilder) -> Self {
        let mut node = Self::begin(builder);
        assert_eq!(node.next().await, BackplaneEvent::Up);
        assert_eq!(node.health(), Health::Healthy);
        node
    }

    /// A node that may not be connected yet.
    pub(crate) fn begin(builder: NatsBackplaneBuilder) -> Self {
        let backplane = Arc::new(builder.start().unwrap());
        let events = backplane.take_events().unwrap();
        Self { backplane, events }
    }

    pub(crate) async fn watch_live(&self, topics: &[&str]) {
        self.watch(live(topics)).await.unwrap();
    }

    pub(crate) async fn watch_logged(&self, topics: &[&str]) {
        self.watch(logged(topics)).await.unwrap();
    }

    pub(crate) async fn live(&self, topic: &str, text: &str) {
        self.publish_live(topic, bytes(text)).await.unwrap();
    }

    pub(crate) async fn append(&self, topic: &str, text: &str) -> Position {
        self.publish_logged(topic, bytes(text), &LOG).await.unwrap()
    }

    pub(crate) async fn read(&self, topic: &str, since: Option<Position>) -> History {
        self.history(topic, since, 10_000).await.unwrap()
    }

    pub(crate) async fn next(&mut self) -> BackplaneEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("no event came").expect("the events ended")
    }

    /// Skips events until one of this kind comes.
    pub(crate) async fn until(&mut self, is_wanted: impl Fn(&BackplaneEvent) -> bool) -> BackplaneEvent {
        loop {
            let event = self.next().await;
            if is_wanted(&event) {
                return event;
            }
        }
    }

    /// Publishes to a live topic that it watches, and returns the events before it comes back.
    pub(crate) async fn events_until_now(&mut self) -> Vec<BackplaneEvent> {
        self.watch_live(&["until now"]).await;
        self.live("until now", "").await;
        let mut events = Vec::new();
        loop {
            match self.next().await {
                BackplaneEvent::Live { topic, .. } if &*topic == "until now" => return events,
                event => events.push(event),
            }
        }
    }

    /// Waits until its health is this.
    pub(crate) async fn health_is(&self, wanted: Health) {
        eventually(async || self.health() == wanted).await;
    }
}

/// Asks again until it holds. Only for what has no event.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("it never came true");
}

pub(crate) fn live(topics: &[&str]) -> Interest {
    let mut interest = Interest::default();
    interest.add_live = topics.iter().map(|topic| Arc::from(*topic)).collect();
    interest
}

pub(crate) fn logged(topics: &[&str]) -> Interest {
    let mut interest = Interest::default();
    interest.add_logged = topics.iter().map(|topic| Arc::from(*topic)).collect();
    interest
}

pub(crate) fn remove(topics: &[&str]) -> Interest {
    let mut interest = Interest::default();
    interest.remove = topics.iter().map(|topic| Arc::from(*topic)).collect();
    interest
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn live_event(topic: &str, text: &str) -> BackplaneEvent {
    BackplaneEvent::Live { topic: topic.into(), envelope: bytes(text) }
}

pub(crate) fn logged_event(
    topic: &str,
    position: Position,
    previous: Option<u64>,
    text: &str,
) -> BackplaneEvent {
    BackplaneEvent::Logged { topic: topic.into(), position, previous, envelope: bytes(text) }
}

pub(crate) fn texts(history: &History) -> Vec<String> {
    history.entries.iter().map(|entry| String::from_utf8(entry.envelope.to_vec()).unwrap()).collect()
}

pub(crate) fn is_disconnected(error: &BackplaneError) -> bool {
    matches!(error, BackplaneError::Disconnected { .. })
}
