//! Topics on several nodes.

use std::sync::Arc;

use ws_server::{
    Message,
    topics::{Member, PublishOptions, SubscribeOptions, Subscribed, Topics},
};

use self::{local::Delivery, node::Node};
use crate::{Backplane, Health, Position};

mod builder;
mod engine;
mod error;
mod events;
mod local;
mod mode;
mod node;
mod presence;
mod shared;
#[cfg(test)]
mod tests;

pub use builder::ClusterBuilder;
pub use error::{ClusterError, StartError};
pub use events::{ClusterEvent, ClusterEvents, ClusterPresent, NodeId, PresenceEvent, PresenceEvents};
pub use mode::Mode;
pub use node::Published;

/// The topics of this process, connected with those of other processes through a [`Backplane`]. Clones are the same
/// node.
///
/// It watches the topics that have members here, and hands them what other nodes publish. Publish through it, not
/// through [`Topics`]: what is published there stays in this process, except that topics with [`Mode::Logged`] refuse
/// it.
///
/// Once [`shut_down`](Self::shut_down) was called or the last clone is dropped, its tasks end and the backplane is shut
/// down.
#[derive(Debug, Clone)]
pub struct Cluster {
    node: Arc<Node<Topics>>,
}

impl Cluster {
    /// Settings for a node with these topics and this connection to a broker. A backplane belongs to one cluster.
    pub fn builder(topics: &Topics, backplane: impl Backplane) -> ClusterBuilder {
        Self::builder_shared(topics, Arc::new(backplane))
    }

    /// As [`builder`](Self::builder), with a backplane that is used elsewhere too.
    pub fn builder_shared(topics: &Topics, backplane: Arc<dyn Backplane>) -> ClusterBuilder {
        ClusterBuilder::new(topics.clone(), backplane)
    }

    /// Publishes to the members of all nodes.
    ///
    /// # Errors
    /// [`ClusterError`]. It says whether something may have been published.
    ///
    /// # Cancel safety
    /// If the future is dropped, the message may have been published to some nodes or to none.
    pub async fn publish(&self, topic: &str, message: impl Into<Message>) -> Result<Published, ClusterError> {
        self.publish_with(topic, message, PublishOptions::new()).await
    }

    /// As [`publish`](Self::publish), with options. The member that is [excepted](PublishOptions::except) is one of
    /// this node. A [deadline](PublishOptions::deadline) begins when the publication comes to a node. What no history
    /// is to keep ([`history(false)`](PublishOptions::history)) is published as in a live topic, even if the topic is
    /// logged: at once, at most once, without a position.
    ///
    /// # Errors and cancel safety
    /// As [`publish`](Self::publish).
    pub async fn publish_with(
        &self,
        topic: &str,
        message: impl Into<Message>,
        options: PublishOptions,
    ) -> Result<Published, ClusterError> {
        self.node.publish(topic, Delivery::new(message.into(), &options)).await
    }

    /// Subscribes a member, once the broker delivers the topic to this node: what any node publishes after this has
    /// returned is delivered.
    ///
    /// [`Member::subscribe`] works too: it returns at once, and the broker delivers the topic a moment later.
    ///
    /// # Errors
    /// [`ClusterError::Subscribe`] if the topics of this process refuse; [`NotWatched`](ClusterError::NotWatched) or
    /// [`CannotWatch`](ClusterError::CannotWatch) if the broker does not deliver the topic. The member is not subscribed
    /// then.
    ///
    /// # Cancel safety
    /// If the future is dropped, the member is not subscribed.
    pub async fn subscribe(&self, member: &Member, topic: &str) -> Result<Subscribed, ClusterError> {
        self.subscribe_with(member, topic, SubscribeOptions::new()).await
    }

    /// As [`subscribe`](Self::subscribe), and the member gets what it missed since `position`, from whichever node it
    /// comes. For topics with [`Mode::Logged`] whose [`TopicOptions`](ws_server::topics::TopicOptions) have a history.
    ///
    /// [`Subscribed::recovered`] says whether that was possible: the broker's log and the history of this node must
    /// reach back far enough.
    ///
    /// # Errors and cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_from(
        &self,
        member: &Member,
        topic: &str,
        position: Position,
    ) -> Result<Subscribed, ClusterError> {
        self.subscribe_with(member, topic, SubscribeOptions::new().from(position)).await
    }

    /// As [`subscribe`](Self::subscribe) or, if the options have a position, [`subscribe_from`](Self::subscribe_from).
    /// With [`from_oldest`](SubscribeOptions::from_oldest), a member of a logged topic gets all of the broker's log
    /// that the history of this node has room for, before the live publications.
    ///
    /// # Errors and cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_with(
        &self,
        member: &Member,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Subscribed, ClusterError> {
        let watched = self.node.watched(topic, options.beginning()).await?;
        let options = options.begins_at(watched.as_ref().and_then(|watched| watched.at));
        // It stays watched until the member has subscribed.
        let subscribed = member.subscribe_with(topic, options).map_err(ClusterError::Subscribe);
        drop(watched);
        subscribed
    }

    /// The members with presence in a topic, on all nodes. What it says of other nodes is right a moment after a
    /// change; of a node that was killed, at most the [TTL](ClusterBuilder::presence_ttl) later.
    ///
    /// # Errors
    /// [`ClusterError::Broker`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn presence(&self, topic: &str) -> Result<Vec<ClusterPresent>, ClusterError> {
        self.node.presence(topic).await
    }

    /// Whether this node hears what the broker publishes. A load balancer should send no connections to a node that is
    /// not [`Healthy`](Health::Healthy).
    #[must_use]
    pub fn health(&self) -> Health {
        self.node.health()
    }

    /// Receives the events of this node from now on. Up to 256 wait for each receiver.
    #[must_use]
    pub fn events(&self) -> ClusterEvents {
        self.node.events()
    }

    /// Receives what other nodes say about their members with presence, in topics with members here. Up to 1,024 wait
    /// for each receiver. [`Topics::events`] has those of this node.
    #[must_use]
    pub fn presence_events(&self) -> PresenceEvents {
        self.node.presence_events()
    }

    /// This node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// The topics of this process.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        self.node.local()
    }

    /// Removes the presence of this node's members from the broker, ends the tasks, and shuts the backplane down.
    /// Members stay subscribed in this process. Later calls return at once; publications fail with
    /// [`ClusterError::Closed`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the cluster is shut down in the background.
    pub async fn shut_down(&self) {
        self.node.shut_down().await;
    }
}
