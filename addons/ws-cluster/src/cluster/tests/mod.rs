//! Nodes in one process, over a model of their topics and a broker in memory. The clock is paused: a pause lets all
//! tasks do what they can.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use self::fake::{Fake, Got};
use super::{
    ClusterError, ClusterEvent, ClusterEvents, Mode, Published,
    local::Delivery,
    node::Node,
    shared::{Settings, Shared},
};
use crate::{Backplane, GapCause, LogOptions, MemoryBackplane, MemoryBroker};

mod fake;
mod interest;
mod live;
mod logged;
mod presence;
mod random;
mod recover;

/// A node with its topics and its connection to the broker.
struct Peer {
    topics: Fake,
    link: Arc<MemoryBackplane>,
    node: Node<Fake>,
    events: ClusterEvents,
}

/// Topics that begin with `log` are logged, those that begin with `here` are local.
fn mode(topic: &str) -> Mode {
    if topic.starts_with("log") {
        Mode::Logged(LogOptions::default())
    } else if topic.starts_with("here") {
        Mode::Local
    } else {
        Mode::Live
    }
}

fn peers<const N: usize>(broker: &MemoryBroker) -> [Peer; N] {
    std::array::from_fn(|index| Peer::new(broker.node(), index as u64 + 1))
}

impl Peer {
    fn new(link: MemoryBackplane, id: u64) -> Self {
        Self::with(Arc::new(link), id, Settings::default())
    }

    fn with(link: Arc<MemoryBackplane>, id: u64, settings: Settings) -> Self {
        let backplane: Arc<dyn Backplane> = Arc::clone(&link) as _;
        Self::on(link, backplane, id, settings)
    }

    fn on(link: Arc<MemoryBackplane>, backplane: Arc<dyn Backplane>, id: u64, settings: Settings) -> Self {
        let topics = Fake::default();
        let shared = Shared::new(topics.clone(), backplane, id, settings, Box::new(mode));
        let node = Node::start(shared).unwrap();
        let events = node.events();
        Self { topics, link, node, events }
    }

    async fn try_publish(&self, topic: &str, text: &str) -> Result<Published, ClusterError> {
        self.node.publish(topic, delivery(text)).await
    }

    async fn publish(&self, topic: &str, text: &str) -> Published {
        self.try_publish(topic, text).await.unwrap()
    }

    /// Subscribes once the topic is watched.
    async fn subscribe(&self, member: u64, topic: &str) {
        let watched = self.node.watched(topic, None).await.unwrap();
        self.topics.join_at(member, topic, watched.and_then(|watched| watched.at), None);
    }

    /// What the broker delivers to this node.
    fn watched(&self) -> Vec<String> {
        self.link.watched().iter().map(ToString::to_string).collect()
    }

    fn texts(&self, member: u64) -> Vec<String> {
        self.topics.texts(member)
    }

    /// The gaps that were reported since the last call: each topic with its cause.
    fn gaps(&mut self) -> Vec<(String, GapCause)> {
        let mut gaps = Vec::new();
        for event in self.reported() {
            match event {
                ClusterEvent::Gap { topics, cause } => {
                    gaps.extend(topics.iter().map(|topic| (topic.to_string(), cause)));
                }
                ClusterEvent::Lagged(_) => panic!("too many events"),
                _ => {}
            }
        }
        gaps
    }

    fn reported(&mut self) -> Vec<ClusterEvent> {
        std::iter::from_fn(|| self.events.0.try_recv().ok()).collect()
    }
}

fn delivery(text: &str) -> Delivery {
    Delivery {
        message: text.into(),
        except: None,
        key: None,
        deadline: None,
        may_compress: true,
        is_kept: true,
    }
}

/// Lets all tasks do what they can.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn offsets(got: &[Got]) -> Vec<u64> {
    got.iter().map(|got| got.position.expect("a position").offset).collect()
}

fn unreadable() -> Bytes {
    Bytes::from_static(b"\xff not an envelope")
}
