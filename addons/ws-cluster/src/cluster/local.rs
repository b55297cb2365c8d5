//! What the cluster needs of the topics of this process.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use ws_server::{
    Message,
    topics::{AppendError, LogPart, MemberId, PublishError, PublishOptions, TopicEvent, TopicEvents, Topics},
};

use crate::{Position, envelope::Envelope};

/// The topics of this process. Tests replace them by a model.
pub(super) trait Local: Send + Sync + 'static {
    type Events: LocalEvents;

    /// What happens from now on.
    fn events(&self) -> Self::Events;

    /// Hands a message to the members. Returns how many these are.
    fn publish(&self, topic: &str, delivery: Delivery) -> Result<usize, PublishError>;

    /// Hands an entry of the log to the members. A duplicate changes nothing.
    fn append(
        &self,
        topic: &str,
        position: Position,
        previous: u64,
        delivery: Delivery,
    ) -> Result<(), AppendError>;

    /// What follows comes behind `position`. Does nothing if the topic does not exist.
    fn reset(&self, topic: &str, position: Position);

    /// Puts the entries behind `since`, which are all up to the offset `until`, in front of the topic's history, as far
    /// as its limits allow. Creates the topic if it does not exist and there are entries.
    fn restore(&self, topic: &str, since: Position, until: u64, entries: Vec<(Position, Delivery)>);

    /// Whether a member that subscribes from `position` gets everything behind it.
    fn keeps_since(&self, topic: &str, position: Position) -> bool;

    /// The newest position.
    fn position(&self, topic: &str) -> Option<Position>;

    /// Waits until there is room for publications.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    fn has_members(&self, topic: &str) -> bool;

    fn names(&self) -> Vec<Arc<str>>;

    /// Members with presence.
    fn presence(&self, topic: &str) -> Vec<(u64, Bytes)>;
}

pub(super) trait LocalEvents: Send + Sync + 'static {
    /// `None` once the topics are gone. Cancel safe.
    fn recv(&mut self) -> impl Future<Output = Option<TopicEvent>> + Send;
}

/// A message, and how it is delivered.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) message: Message,
    pub(super) except: Option<u64>,
    pub(super) key: Option<Bytes>,
    pub(super) deadline: Option<Duration>,
    pub(super) may_compress: bool,
    /// Whether histories keep it.
    pub(super) is_kept: bool,
}

impl Delivery {
    pub(super) fn new(message: Message, options: &PublishOptions) -> Self {
        let broker = options.parts();
        Self {
            message,
            except: broker.except.map(MemberId::get),
            key: broker.key,
            deadline: broker.deadline,
            may_compress: broker.may_compress,
            is_kept: broker.history,
        }
    }

    /// What an envelope asks for. The member that it excepts is one of the publishing node.
    pub(super) fn of(envelope: Envelope, here: u64) -> Self {
        let Envelope { node, member, deadline, key, may_compress, is_kept, message, .. } = envelope;
        let except = member.filter(|_| node == here);
        Self { message, except, key, deadline, may_compress, is_kept }
    }

    fn into_options(self) -> (Message, PublishOptions) {
        let Self { message, except, key, deadline, may_compress, is_kept } = self;
        let except = except.map(MemberId::from_number);
        let options = PublishOptions::new().except(except).key(key).deadline(deadline).history(is_kept);
        (message, if may_compress { options } else { options.uncompressed() })
    }
}

impl Local for Topics {
    type Events = TopicEvents;

    fn events(&self) -> TopicEvents {
        Self::events(self)
    }

    fn publish(&self, topic: &str, delivery: Delivery) -> Result<usize, PublishError> {
        let (message, options) = delivery.into_options();
        self.publish_with(topic, message, options).map(|published| published.members)
    }

    fn append(
        &self,
        topic: &str,
        position: Position,
        previous: u64,
        delivery: Delivery,
    ) -> Result<(), AppendError> {
        let (message, options) = delivery.into_options();
        Self::append(self, topic, position, Some(previous), message, options).map(drop)
    }

    fn reset(&self, topic: &str, position: Position) {
        Self::reset(self, topic, position);
    }

    fn restore(&self, topic: &str, since: Position, until: u64, entries: Vec<(Position, Delivery)>) {
        let publications = entries.into_iter().map(|(position, delivery)| {
            let (message, options) = delivery.into_options();
            (position, message, options)
        });
        Self::restore(self, topic, LogPart { since, until, publications: publications.collect() });
    }

    fn keeps_since(&self, topic: &str, position: Position) -> bool {
        Self::keeps_since(self, topic, position)
    }

    fn position(&self, topic: &str) -> Option<Position> {
        Self::position(self, topic)
    }

    fn ready(&self) -> impl Future<Output = ()> + Send {
        Self::ready(self)
    }

    fn has_members(&self, topic: &str) -> bool {
        self.member_count(topic) > 0
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.topic_names()
    }

    fn presence(&self, topic: &str) -> Vec<(u64, Bytes)> {
        Self::presence(self, topic).into_iter().map(|present| (present.member.get(), present.data)).collect()
    }
}

impl LocalEvents for TopicEvents {
    fn recv(&mut self) -> impl Future<Output = Option<TopicEvent>> + Send {
        Self::recv(self)
    }
}
