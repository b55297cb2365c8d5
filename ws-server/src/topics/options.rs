//! Settings of topics, members, subscriptions and publications.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use ws_proto::error::ConfigError;

use super::{position::Position, publication::MemberId, slow::SlowPolicy, stamp::Stamp};

/// Settings of a topic, which it keeps as long as it exists. Sizes are in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct TopicOptions {
    pub(crate) slow: SlowPolicy,
    pub(crate) history: Option<History>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_members: Option<usize>,
}

impl TopicOptions {
    /// The defaults: [`SlowPolicy::disconnect`], no history, no stamp, no deadline, any number of members.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens to members that are too slow, unless the member or the subscription has a policy of its own.
    pub const fn slow(mut self, policy: SlowPolicy) -> Self {
        self.slow = policy;
        self
    }

    /// Keeps publications, so that a member that comes back gets what it missed. The topic numbers its publications,
    /// and all members see them in the order of their offsets. Default: `None`.
    pub fn history(mut self, history: impl Into<Option<History>>) -> Self {
        self.history = history.into();
        self
    }

    /// Puts the position into each message, so that a page knows it. Only publications that have a position are
    /// stamped. Default: `None`.
    pub fn stamp(mut self, stamp: impl Into<Option<Stamp>>) -> Self {
        self.stamp = stamp.into();
        self
    }

    /// The longest time from publishing to the write queue of a member's connection. After it, the member misses the
    /// publication. Default: `None`, no limit.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// The most members of the topic in this process. At least 1. Default: `None`, no limit.
    pub fn max_members(mut self, count: impl Into<Option<usize>>) -> Self {
        self.max_members = count.into();
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.slow.check()?;
        if let Some(history) = &self.history {
            history.check()?;
        }
        if self.max_members == Some(0) {
            return Err(ConfigError::new("max_members", 0, "must be at least 1"));
        }
        if self.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return Err(ConfigError::new("deadline", "0ns", "must be longer than zero"));
        }
        if self.stamp.is_some() && self.history.is_none() {
            return Err(ConfigError::new("stamp", "set", "needs a history, because positions come from it"));
        }
        Ok(())
    }
}

/// How much of a topic's publications is kept. The oldest go first, once any of the limits is reached.
///
/// The history outlives the members, until its last publication is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct History {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}

impl History {
    /// The longest [`max_age`](Self::max_age).
    const MAX_AGE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// Keeps up to `messages` publications, up to 1 MiB, for up to 5 minutes. `messages` is at least 1.
    pub const fn new(messages: usize) -> Self {
        Self { messages, bytes: 1024 * 1024, age: Duration::from_secs(300) }
    }

    /// The most bytes that are kept. A publication counts its payload and 256 bytes. Default 1 MiB; at least 1024.
    ///
    /// Near the end of the [memory budget](super::TopicsBuilder::memory_budget) less is kept.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// The longest time that a publication is kept. Default 5 minutes; longer than zero, and at most 366 days.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.messages == 0 {
            return Err(ConfigError::new("history.messages", 0, "must be at least 1"));
        }
        if self.bytes < 1024 {
            return Err(ConfigError::new("history.max_bytes", self.bytes, "must be at least 1024 bytes"));
        }
        if self.age.is_zero() || self.age > Self::MAX_AGE {
            let value = format!("{:?}", self.age);
            return Err(ConfigError::new(
                "history.max_age",
                value,
                "must be longer than zero, at most 366 days",
            ));
        }
        Ok(())
    }
}

/// Settings of a member, for [`Topics::join_with`](super::Topics::join_with).
#[derive(Clone, Default)]
#[must_use]
pub struct MemberOptions {
    pub(crate) data: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) slow: Option<SlowPolicy>,
}

impl MemberOptions {
    /// No data, and the policies of the topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value of the application, such as the user. [`Member::data`](super::Member::data) returns it, for example in
    /// the function that [authorises](super::TopicsBuilder::authorize) subscriptions.
    pub fn data(mut self, data: Arc<dyn Any + Send + Sync>) -> Self {
        self.data = Some(data);
        self
    }

    /// What happens when this member is too slow. Default: the policy of each topic.
    pub const fn slow(mut self, policy: SlowPolicy) -> Self {
        self.slow = Some(policy);
        self
    }
}

/// Omits the data.
impl fmt::Debug for MemberOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberOptions").field("slow", &self.slow).finish_non_exhaustive()
    }
}

/// Where a subscription begins in the history.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Behind this position.
    Position(Position),
    /// At the oldest publication that is kept.
    Oldest,
}

/// Settings of a subscription, for [`Member::subscribe_with`](super::Member::subscribe_with).
#[derive(Clone, Default)]
#[must_use]
pub struct SubscribeOptions {
    pub(crate) from: Option<Beginning>,
    pub(crate) begins_at: Option<Position>,
    pub(crate) presence: Option<Bytes>,
    pub(crate) slow: Option<SlowPolicy>,
}

impl SubscribeOptions {
    /// Live publications only, without presence, and the policy of the member or the topic.
    pub fn new() -> Self {
        Self::default()
    }

    /// Recovers what was published behind this position, before the live publications. It is the position of the last
    /// publication that the peer has.
    ///
    /// No limit of a [`SlowPolicy`] applies to what is recovered. If the memory budget is used up, the member is
    /// treated as one that is too slow.
    ///
    /// Replaces what [`from_oldest`](Self::from_oldest) set; `None` asks for live publications only.
    pub fn from(mut self, position: impl Into<Option<Position>>) -> Self {
        self.from = position.into().map(Beginning::Position);
        self
    }

    /// Recovers all publications that are kept, before the live publications: for a peer that has none of them yet. The
    /// answer is [`Recovered::All`](super::Recovered::All), even if older publications are not kept any more, or
    /// [`Recovered::NoHistory`](super::Recovered::NoHistory).
    ///
    /// Replaces what [`from`](Self::from) set.
    pub const fn from_oldest(mut self) -> Self {
        self.from = Some(Beginning::Oldest);
        self
    }

    /// Shows the member in the topic's presence, with this data. It is copied. Default: the member is not shown.
    pub fn presence(mut self, data: impl Into<Option<Bytes>>) -> Self {
        self.presence = data.into();
        self
    }

    /// What happens when this subscription is too slow. Default: the policy of the member, or of the topic.
    pub const fn slow(mut self, policy: SlowPolicy) -> Self {
        self.slow = Some(policy);
        self
    }
}

/// Shows the length of the presence data only.
impl fmt::Debug for SubscribeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeOptions")
            .field("from", &self.from)
            .field("presence_bytes", &self.presence.as_ref().map(Bytes::len))
            .field("slow", &self.slow)
            .finish()
    }
}

/// Settings of a publication, for [`Topics::publish_with`](super::Topics::publish_with).
#[derive(Clone)]
#[must_use]
pub struct PublishOptions {
    pub(crate) except: Option<MemberId>,
    pub(crate) key: Option<Bytes>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) history: bool,
    pub(crate) may_compress: bool,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self { except: None, key: None, deadline: None, history: true, may_compress: true }
    }
}

impl PublishOptions {
    /// To all members, kept in the history if the topic has one, with the topic's deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// The member that does not get the publication. With a history, the member gets it if it recovers.
    pub fn except(mut self, member: impl Into<Option<MemberId>>) -> Self {
        self.except = member.into();
        self
    }

    /// What the publication is about, for [`SlowPolicy::latest_per_key`]. It is copied. Default: `None`.
    pub fn key(mut self, key: impl Into<Option<Bytes>>) -> Self {
        self.key = key.into();
        self
    }

    /// The longest time from publishing to the write queue of a member's connection. Default: that of the topic.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Whether the publication is numbered and kept if the topic has a history. Use `false` for what is of no use
    /// later, such as "is typing". Default: yes.
    pub const fn history(mut self, keep: bool) -> Self {
        self.history = keep;
        self
    }

    /// Never compresses the message: for payloads that are compressed already, or that hold a secret next to data
    /// chosen by an attacker (RFC 7692 section 8).
    pub const fn uncompressed(mut self) -> Self {
        self.may_compress = false;
        self
    }
}

/// Shows the length of the key only.
impl fmt::Debug for PublishOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishOptions")
            .field("except", &self.except)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("deadline", &self.deadline)
            .field("history", &self.history)
            .field("may_compress", &self.may_compress)
            .finish()
    }
}
