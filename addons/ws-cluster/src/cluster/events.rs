//! What a cluster reports to the application.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::GapCause;

/// What a [`Cluster`](crate::Cluster) reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// The connection to the broker is lost.
    Down,
    /// The connection is back. Each live topic has had a [`Gap`](Self::Gap) since the loss, or it follows; logged
    /// topics read what they missed.
    Up,
    /// Members of this node may have missed publications of these topics for good. Let them load the state again, for
    /// example by a message to the topic.
    Gap {
        /// The topics.
        topics: Arc<[Arc<str>]>,
        /// Why.
        cause: GapCause,
    },
    /// The broker refuses to watch a topic, so its members get nothing from other nodes. It is tried again.
    CannotWatch {
        /// The topic.
        topic: Arc<str>,
        /// The broker's reason.
        reason: Arc<str>,
    },
    /// This receiver was too slow, and this many events are missing. Take it as a gap of all topics.
    Lagged(u64),
}

/// What happens to members with presence on other nodes. A hint, at most once: read
/// [`Cluster::presence`](crate::Cluster::presence) for the state.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceEvent {
    /// A member of another node subscribed, or has new data.
    Joined {
        /// The topic.
        topic: Arc<str>,
        /// The member's node.
        node: NodeId,
        /// The member's number on its node.
        member: u64,
        /// Its data.
        data: Bytes,
    },
    /// A member of another node left.
    Left {
        /// The topic.
        topic: Arc<str>,
        /// The member's node.
        node: NodeId,
        /// The member's number on its node.
        member: u64,
    },
    /// This receiver was too slow, and this many events are missing.
    Lagged(u64),
}

/// A node: a process start. It is drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u64);

/// A member with presence, of any node.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterPresent {
    /// The member's node.
    pub node: NodeId,
    /// The member's number on its node: [`MemberId::get`](ws_server::topics::MemberId::get).
    pub member: u64,
    /// What it subscribed with.
    pub data: Bytes,
}

/// Receives the [`ClusterEvent`]s of a cluster.
#[derive(Debug)]
pub struct ClusterEvents(pub(super) broadcast::Receiver<ClusterEvent>);

/// Receives the [`PresenceEvent`]s of a cluster.
#[derive(Debug)]
pub struct PresenceEvents(pub(super) broadcast::Receiver<PresenceEvent>);

impl ClusterEvents {
    /// The next event. `None` once the cluster is gone.
    ///
    /// # Cancel safety
    /// No event is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<ClusterEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(ClusterEvent::Lagged(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl PresenceEvents {
    /// The next event. `None` once the cluster is gone.
    ///
    /// # Cancel safety
    /// No event is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<PresenceEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(PresenceEvent::Lagged(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl NodeId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Shows the length of the data only.
impl fmt::Debug for PresenceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { topic, node, member, data } => f
                .debug_struct("Joined")
                .field("topic", topic)
                .field("node", node)
                .field("member", member)
                .field("bytes", &data.len())
                .finish(),
            Self::Left { topic, node, member } => f
                .debug_struct("Left")
                .field("topic", topic)
                .field("node", node)
                .field("member", member)
                .finish(),
            Self::Lagged(count) => f.debug_tuple("Lagged").field(count).finish(),
        }
    }
}

/// Shows the length of the data only.
impl fmt::Debug for ClusterPresent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterPresent")
            .field("node", &self.node)
            .field("member", &self.member)
            .field("bytes", &self.data.len())
            .finish()
    }
}
