//! What came of a publication or a subscription.

use super::position::Position;

/// A message was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The members of the topic in this process. One that [`except`](super::PublishOptions::except) names counts too.
    pub members: usize,
    /// The position, if the topic has a history.
    pub position: Option<Position>,
}

/// A publication of a broker was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Appended {
    /// It is new.
    Delivered {
        /// The members of the topic in this process.
        members: usize,
    },
    /// It, or a later one, was appended before. Nothing was done.
    Duplicate,
}

/// A member has subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscribed {
    /// The newest position of the topic at this moment, if it has a history. The live publications follow it.
    pub position: Option<Position>,
    /// What of the past the member gets, before the live publications.
    pub recovered: Recovered,
    /// The members of the topic in this process, this one included.
    pub members: usize,
    /// Whether the member had not subscribed to the topic before.
    pub is_new: bool,
}

/// What of the past a subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// The subscription asked for none of the past, or the member had subscribed before: live publications only.
    NotAsked,
    /// All publications behind the position, or all that are kept if the subscription asked
    /// [from the oldest](super::SubscribeOptions::from_oldest) on.
    All {
        /// How many these are.
        messages: usize,
    },
    /// Some publications behind the position are not kept any more. The member gets those that are.
    Gap {
        /// How many are kept.
        messages: usize,
        /// The offset of the last publication that is gone.
        gone: u64,
    },
    /// The position is ahead of the topic: this process has not got all publications from the broker yet. Some that the
    /// peer has will come again.
    Ahead,
    /// The position is of another epoch. Live publications only; load the state again.
    OtherEpoch,
    /// The topic has no history. Live publications only.
    NoHistory,
}

impl Recovered {
    /// How many publications of the past the member gets.
    #[must_use]
    pub const fn messages(&self) -> usize {
        match *self {
            Self::All { messages } | Self::Gap { messages, .. } => messages,
            _ => 0,
        }
    }
}
