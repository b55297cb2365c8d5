//! What happens to publications for a member whose peer takes them too slowly.

use ws_proto::{CloseCode, error::ConfigError};

/// What happens when publications wait for a member and its limits are reached, because its peer takes them too slowly.
///
/// Each subscription has a policy. The limits of a subscription are at most half of the connection's
/// [`write_queue_messages`](crate::ServerBuilder::write_queue_messages) and
/// [`write_queue_bytes`](crate::ServerBuilder::write_queue_bytes). A policy concerns publications only: messages that
/// are sent on the connection itself, pings, pongs and the Close are never dropped.
///
/// [`Member::missed`](super::Member::missed) counts what a member did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct SlowPolicy {
    pub(crate) action: SlowAction,
    pub(crate) max_messages: usize,
    pub(crate) max_bytes: usize,
}

/// What a [`SlowPolicy`] does at its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlowAction {
    /// Closes the connection with this code.
    Disconnect(CloseCode),
    /// Drops the publication that comes.
    DropNewest,
    /// Drops those that wait longest.
    DropOldest,
    /// Replaces the waiting publication with the same key; without one, drops those that wait longest.
    LatestPerKey,
}

impl SlowPolicy {
    const fn new(action: SlowAction) -> Self {
        Self { action, max_messages: 1024, max_bytes: 512 * 1024 }
    }

    /// Closes the connection with 1013 (try again later). The default. The peer connects again and recovers from its
    /// last [`Position`](super::Position), or loads the state again.
    pub const fn disconnect() -> Self {
        Self::new(SlowAction::Disconnect(CloseCode::TRY_AGAIN_LATER))
    }

    /// Drops publications that come while the limits are reached.
    pub const fn drop_newest() -> Self {
        Self::new(SlowAction::DropNewest)
    }

    /// Drops the publications that have waited longest.
    pub const fn drop_oldest() -> Self {
        Self::new(SlowAction::DropOldest)
    }

    /// Keeps only the latest publication of each [key](super::PublishOptions::key) while it waits: for values that
    /// replace each other, such as prices. A publication takes the place of the waiting one with the same key.
    /// Publications without a key all wait. At the limits, those that have waited longest are dropped.
    pub const fn latest_per_key() -> Self {
        Self::new(SlowAction::LatestPerKey)
    }

    /// The most publications that wait for a subscription. Default 1024; at least 1. In the options of a member or a
    /// subscription, 0 counts as 1.
    pub const fn max_messages(mut self, count: usize) -> Self {
        self.max_messages = count;
        self
    }

    /// The most bytes that wait for a subscription. A publication counts its payload and a fixed overhead; a single one
    /// may be larger if no other waits. Default 512 KiB; at least 1. In the options of a member or a subscription, 0
    /// counts as 1.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// This policy within the limits of a connection.
    pub(crate) fn within(self, messages: usize, bytes: usize) -> Self {
        Self {
            action: self.action,
            max_messages: self.max_messages.min(messages).max(1),
            max_bytes: self.max_bytes.min(bytes).max(1),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for (option, value) in [("slow.max_messages", self.max_messages), ("slow.max_bytes", self.max_bytes)]
        {
            if value == 0 {
                return Err(ConfigError::new(option, value, "must be at least 1"));
            }
        }
        Ok(())
    }
}

impl Default for SlowPolicy {
    /// [`disconnect`](Self::disconnect), 1024 messages, 512 KiB.
    fn default() -> Self {
        Self::disconnect()
    }
}
