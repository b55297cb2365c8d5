//! Settings of [`Topics`].

use std::{fmt, sync::Arc};

use ws_proto::{error::ConfigError, memory::MemoryBudget};

use super::{Topics, error::Denied, hooks::Hooks, member::Member, options::TopicOptions};

/// Settings of [`Topics`], from [`Topics::builder`]. Sizes are in bytes.
///
/// The methods do not check their values; [`build`](Self::build) returns an error that names a bad setting and its
/// value.
///
/// # Hooks
///
/// [`options_by_name`](Self::options_by_name) and [`authorize`](Self::authorize) set functions of the application. They
/// may use the topics, and they should be quick, because they run inside a subscription. If they hold a handle to the
/// topics, the topics are never freed.
#[derive(Clone)]
#[must_use]
pub struct TopicsBuilder {
    pub(super) options: TopicOptions,
    pub(super) hooks: Hooks,
    pub(super) limits: Limits,
    pub(super) max_waiting_bytes: usize,
    pub(super) budget: Option<MemoryBudget>,
}

/// The limits of [`Topics`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) topics_per_member: usize,
    pub(super) topic_name: usize,
    pub(super) topics: usize,
    pub(super) presence: usize,
}

impl Default for TopicsBuilder {
    fn default() -> Self {
        Self {
            options: TopicOptions::new(),
            hooks: Hooks::default(),
            limits: Limits { topics_per_member: 128, topic_name: 255, topics: 1_000_000, presence: 1024 },
            max_waiting_bytes: 64 * 1024 * 1024,
            budget: None,
        }
    }
}

impl TopicsBuilder {
    /// The settings of topics. Default: [`TopicOptions::new`].
    pub fn options(mut self, options: TopicOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets a function that gives the settings of a topic by its name. It is called when a topic is created, and when a
    /// topic that does not exist is published to. Its settings are used as [`build`](Self::build) would check them: if
    /// they are not valid, or if it panics, an error is logged and the settings of [`options`](Self::options) are used.
    pub fn options_by_name(mut self, hook: impl Fn(&str) -> TopicOptions + Send + Sync + 'static) -> Self {
        self.hooks.options_by_name = Some(Arc::new(hook));
        self
    }

    /// Sets a function that decides which member may subscribe to which topic. Default: every member to every topic. If
    /// it panics, the subscription is denied.
    ///
    /// ```
    /// use ws_server::topics::{Denied, Topics};
    ///
    /// struct User {
    ///     is_admin: bool,
    /// }
    ///
    /// let topics = Topics::builder()
    ///     .authorize(|member, topic| match member.data::<User>() {
    ///         Some(user) if user.is_admin || !topic.starts_with("admin:") => Ok(()),
    ///         _ => Err(Denied::new("only for administrators")),
    ///     })
    ///     .build()?;
    /// # Ok::<(), ws_server::error::ConfigError>(())
    /// ```
    pub fn authorize(
        mut self,
        hook: impl Fn(&Member, &str) -> Result<(), Denied> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.authorize = Some(Arc::new(hook));
        self
    }

    /// The most subscriptions of a member. At least 1. Default 128.
    pub const fn max_topics_per_member(mut self, count: usize) -> Self {
        self.limits.topics_per_member = count;
        self
    }

    /// The longest name of a topic, in bytes; from 1 to 65,536. Default 255.
    pub const fn max_topic_name(mut self, bytes: usize) -> Self {
        self.limits.topic_name = bytes;
        self
    }

    /// The longest [presence data](super::SubscribeOptions::presence) of a member in a topic, in bytes; at most
    /// 1,048,576. Default 1024.
    pub const fn max_presence(mut self, bytes: usize) -> Self {
        self.limits.presence = bytes;
        self
    }

    /// The most topics at a time. At least 1. Default 1,000,000.
    pub const fn max_topics(mut self, count: usize) -> Self {
        self.limits.topics = count;
        self
    }

    /// The most bytes of publications that wait between publishers and the shards of the server. Beyond it, publishing
    /// returns [`PublishError::Full`](super::PublishError::Full). The publication that reaches the limit may exceed it.
    /// A publication counts its payload and 256 bytes, once for each shard that has members of the topic. At least
    /// 1024. Default 64 MiB.
    pub const fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.max_waiting_bytes = bytes;
        self
    }

    /// The budget that topics, presence data, and publications that wait or are in a history count against. Neither a
    /// topic nor a publication is refused because of it. Near its end, histories keep less, a member for which more
    /// than a little waits is too slow for a further publication, and the connections that share the budget refuse to
    /// grow.
    /// Default: `None`; the topics that a server makes for itself, also with
    /// [`topics_with`](crate::ServerBuilder::topics_with), have the server's budget.
    pub fn memory_budget(mut self, budget: impl Into<Option<MemoryBudget>>) -> Self {
        self.budget = budget.into();
        self
    }

    pub(crate) fn budget_unless_set(mut self, budget: Option<&MemoryBudget>) -> Self {
        self.budget = self.budget.or_else(|| budget.cloned());
        self
    }

    /// Creates the topics.
    ///
    /// # Errors
    /// [`ConfigError`] for a bad setting, with the setting and its value.
    pub fn build(self) -> Result<Topics, ConfigError> {
        self.check()?;
        Ok(Topics::with(self))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Limits { topics_per_member, topic_name, topics, presence } = self.limits;
        let bounds = [
            ("max_topics_per_member", topics_per_member, 1, usize::MAX, "must be at least 1"),
            ("max_topic_name", topic_name, 1, 1 << 16, "must be from 1 to 65,536 bytes"),
            ("max_presence", presence, 0, 1 << 20, "must be at most 1,048,576 bytes"),
            ("max_topics", topics, 1, usize::MAX, "must be at least 1"),
            ("max_waiting_bytes", self.max_waiting_bytes, 1024, usize::MAX, "must be at least 1024 bytes"),
        ];
        for (option, value, least, most, expected) in bounds {
            if value < least || value > most {
                return Err(ConfigError::new(option, value, expected));
            }
        }
        self.options.check()
    }
}

/// Shows the settings, without the hooks.
impl fmt::Debug for TopicsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicsBuilder")
            .field("options", &self.options)
            .field("limits", &self.limits)
            .field("max_waiting_bytes", &self.max_waiting_bytes)
            .finish_non_exhaustive()
    }
}
