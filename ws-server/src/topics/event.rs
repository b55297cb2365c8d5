//! What happens to topics and their members, for applications and brokers.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::publication::MemberId;

/// An event of [`Topics`](super::Topics). The events of one topic come in the order in which they happened.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicEvent {
    /// A topic got its first member of this process.
    Opened {
        /// The topic.
        topic: Arc<str>,
    },
    /// A topic lost its last member of this process.
    Emptied {
        /// The topic.
        topic: Arc<str>,
    },
    /// A member with presence subscribed, or subscribed again with other data.
    Joined {
        /// The topic.
        topic: Arc<str>,
        /// The member.
        member: MemberId,
        /// Its data.
        presence: Bytes,
    },
    /// A member with presence unsubscribed, left, or its connection ended.
    Left {
        /// The topic.
        topic: Arc<str>,
        /// The member.
        member: MemberId,
    },
    /// The receiver was too slow, and this many events between the one before and the next are missing. Read the
    /// current state with [`Topics::topic_names`](super::Topics::topic_names) and
    /// [`Topics::presence`](super::Topics::presence).
    Lagged(u64),
}

/// Shows the length of the presence data only.
impl fmt::Debug for TopicEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { topic } => f.debug_struct("Opened").field("topic", topic).finish(),
            Self::Emptied { topic } => f.debug_struct("Emptied").field("topic", topic).finish(),
            Self::Joined { topic, member, presence } => f
                .debug_struct("Joined")
                .field("topic", topic)
                .field("member", member)
                .field("presence_bytes", &presence.len())
                .finish(),
            Self::Left { topic, member } => {
                f.debug_struct("Left").field("topic", topic).field("member", member).finish()
            }
            Self::Lagged(count) => f.debug_tuple("Lagged").field(count).finish(),
        }
    }
}
