//! What is delivered: a message that was published to a topic.

use std::{fmt, time::Instant};

use bytes::Bytes;
use ws_proto::PreparedMessage;
use ws_tokio::internal::{Foreign, run_unlocked};

use super::{position::Position, room::Charge};

/// What a publication counts in addition to its payload and its key, in bytes.
pub(crate) const PUBLICATION_OVERHEAD: usize = 256;

/// The number of a topic, unique in its [`Topics`](super::Topics). A topic that was freed and is created again has
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TopicId(pub(crate) u64);

/// Identifies a [`Member`](super::Member). Unique in the process; ids of later members are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(crate) u64);

impl MemberId {
    /// The id as a number, for logs and for messages of the application.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message that was published to a topic. History, inboxes and waiting members share it.
pub(crate) struct Publication {
    /// `None` only while it is dropped.
    message: Option<PreparedMessage>,
    /// A copy of the application's key, so that dropping it runs no foreign code.
    pub(crate) key: Option<Bytes>,
    /// It is not delivered from this moment on.
    pub(crate) deadline: Option<Instant>,
    /// The member that does not get it.
    pub(crate) except: Option<MemberId>,
    /// Set if the topic numbers its publications.
    pub(crate) position: Option<Position>,
    /// Its share of the memory budget.
    charge: Charge,
}

impl Publication {
    /// A publication of `message`, without key, deadline, exception and position.
    pub(crate) fn new(message: PreparedMessage, charge: Charge) -> Self {
        Self { message: Some(message), key: None, deadline: None, except: None, position: None, charge }
    }

    /// A publication outside of any memory budget.
    #[cfg(test)]
    pub(crate) fn of(message: impl Into<ws_proto::Message>) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self::new(PreparedMessage::new(message), Charge::default()))
    }

    /// Replaces the message, for a stamp. It must be new: the old one is dropped without a lock.
    pub(super) fn set_message(&mut self, message: PreparedMessage) {
        if let Some(old) = self.message.replace(message) {
            run_unlocked(Foreign::Prepared(old));
        }
    }

    /// The message. `None` only while it is dropped.
    pub(crate) const fn message(&self) -> Option<&PreparedMessage> {
        self.message.as_ref()
    }

    /// The length of the payload, in bytes.
    pub(crate) fn payload_len(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.payload().len())
    }

    /// Whether the memory budget has no room for more of what waits.
    pub(crate) fn is_short(&self) -> bool {
        self.charge.is_short()
    }

    /// What it counts where it is held: payload, key and [`PUBLICATION_OVERHEAD`], in bytes.
    pub(crate) fn size(&self) -> usize {
        PUBLICATION_OVERHEAD + self.payload_len() + self.key.as_ref().map_or(0, Bytes::len)
    }
}

/// The payload may have a destructor of the application, which runs without a lock.
impl Drop for Publication {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            run_unlocked(Foreign::Prepared(message));
        }
    }
}

/// Omits the payload and the key, to keep them out of logs.
impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("bytes", &self.payload_len())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
