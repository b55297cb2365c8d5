//! Errors of topics.

use std::borrow::Cow;

use super::position::Position;

/// A connection cannot join [`Topics`](super::Topics).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection is closing or closed.
    #[error("the connection is not open")]
    Closed,
    /// The connection is a member of another [`Topics`](super::Topics). A connection can be a member of one only.
    #[error("the connection is a member of other topics")]
    OtherTopics,
}

/// A member cannot subscribe to a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The connection is closing or closed.
    #[error("the connection is not open")]
    Closed,
    /// The connection is a member of other topics than those of its server.
    /// [`Conn::subscribe`](crate::Conn::subscribe) returns this.
    #[error("the connection is a member of other topics")]
    OtherTopics,
    /// The function that [authorises](super::TopicsBuilder::authorize) refused.
    #[error("the subscription was denied")]
    Denied(#[source] Denied),
    /// The member has as many subscriptions as
    /// [`max_topics_per_member`](super::TopicsBuilder::max_topics_per_member) allows.
    #[error("the member has {limit} subscriptions, the most that max_topics_per_member allows")]
    TooManyTopics {
        /// The limit.
        limit: usize,
    },
    /// The topic has as many members as [`max_members`](super::TopicOptions::max_members) allows.
    #[error("the topic has {limit} members, the most that max_members allows")]
    TooManyMembers {
        /// The limit.
        limit: usize,
    },
    /// The topic cannot be created.
    #[error("there are {limit} topics, the most that max_topics allows")]
    TooManyTopicsInAll {
        /// The limit of [`max_topics`](super::TopicsBuilder::max_topics).
        limit: usize,
    },
    /// The name of the topic is empty.
    #[error("the name of the topic is empty")]
    EmptyName,
    /// The name of the topic is too long.
    #[error("the name of the topic has {len} bytes, max_topic_name is {limit}")]
    NameTooLong {
        /// The length of the name, in bytes.
        len: usize,
        /// The limit of [`max_topic_name`](super::TopicsBuilder::max_topic_name).
        limit: usize,
    },
    /// The presence data is too long.
    #[error("the presence data has {len} bytes, max_presence is {limit}")]
    PresenceTooLong {
        /// The length of the data, in bytes.
        len: usize,
        /// The limit of [`max_presence`](super::TopicsBuilder::max_presence).
        limit: usize,
    },
}

impl From<JoinError> for SubscribeError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Closed => Self::Closed,
            JoinError::OtherTopics => Self::OtherTopics,
        }
    }
}

/// A subscription was refused by the function that [authorises](super::TopicsBuilder::authorize).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    reason: Cow<'static, str>,
}

impl Denied {
    /// A refusal with a reason, for logs or for the peer.
    #[must_use]
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Default for Denied {
    fn default() -> Self {
        Self::new("not allowed")
    }
}

/// A message was not published. No member gets it, and it is not in the history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Too many publications wait between publishers and the server's shards.
    /// [`Topics::ready`](super::Topics::ready) waits for room.
    #[error("{waiting} bytes of publications wait, max_waiting_bytes is {limit}")]
    Full {
        /// Bytes that wait.
        waiting: usize,
        /// The limit of [`max_waiting_bytes`](super::TopicsBuilder::max_waiting_bytes).
        limit: usize,
    },
    /// A broker numbers the publications of this topic, because of [`append`](super::Topics::append) or
    /// [`reset`](super::Topics::reset). What is not kept can still be published:
    /// [`history(false)`](super::PublishOptions::history).
    #[error("a broker numbers the publications of the topic")]
    NumberedByBroker,
    /// A topic with history cannot be created.
    #[error("there are {limit} topics, the most that max_topics allows")]
    TooManyTopicsInAll {
        /// The limit of [`max_topics`](super::TopicsBuilder::max_topics).
        limit: usize,
    },
    /// The name of the topic is empty.
    #[error("the name of the topic is empty")]
    EmptyName,
    /// The name of the topic is too long.
    #[error("the name of the topic has {len} bytes, max_topic_name is {limit}")]
    NameTooLong {
        /// The length of the name, in bytes.
        len: usize,
        /// The limit of [`max_topic_name`](super::TopicsBuilder::max_topic_name).
        limit: usize,
    },
}

/// A publication that a broker has numbered was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Publications between the topic's newest one and this one are missing. Append them first, or give them up with
    /// [`Topics::reset`](super::Topics::reset).
    #[error("publications behind {newest} are missing")]
    Gap {
        /// The topic's newest position.
        newest: Position,
    },
    /// The topic is in another epoch. [`Topics::reset`](super::Topics::reset) begins a new one.
    #[error("the topic is at {current}, in another epoch")]
    OtherEpoch {
        /// The topic's newest position.
        current: Position,
    },
    /// The message cannot be published, for another reason.
    #[error("the publication was refused")]
    Publish(#[from] PublishError),
}

/// The name of a topic is not allowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum BadName {
    Empty,
    TooLong { len: usize, limit: usize },
}

impl From<BadName> for SubscribeError {
    fn from(name: BadName) -> Self {
        match name {
            BadName::Empty => Self::EmptyName,
            BadName::TooLong { len, limit } => Self::NameTooLong { len, limit },
        }
    }
}

impl From<BadName> for PublishError {
    fn from(name: BadName) -> Self {
        match name {
            BadName::Empty => Self::EmptyName,
            BadName::TooLong { len, limit } => Self::NameTooLong { len, limit },
        }
    }
}
