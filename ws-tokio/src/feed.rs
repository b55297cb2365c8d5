//! Messages for a connection that wait elsewhere, such as the publications of topics.

use std::{any::Any, sync::Arc, task::Waker, time::Instant};

use ws_proto::{Connection, TransmitQueue, ValidConfig};

use crate::pressure::FeedPressure;

/// Messages for a connection that wait elsewhere. The connection takes them before it queues messages of its own, so
/// that the order in which they were made is kept, and whenever it may write.
///
/// The methods are called while the connection is locked. They must not use a handle to it.
pub trait Feed: Send + Sync {
    /// Moves waiting messages into the connection's write queue while that holds fewer than `limit` bytes. With
    /// `before`, only those that came before that [mark](Self::mark). With the limit 0, nothing is moved; the result
    /// says whether messages wait. If the peer is too slow, this may close the connection.
    fn fill(
        &self,
        limit: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled;

    /// The mark of this moment. Messages that come later come after it.
    fn mark(&self) -> u64;

    /// What waits, and whether messages were dropped because the peer takes them too slowly.
    fn pressure(&self) -> FeedPressure {
        FeedPressure::default()
    }

    /// The connection sends nothing more.
    fn ended(&self);

    /// For the code that attached the feed, to find its own type.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What is left after [`Feed::fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Nothing waits, or nothing before the mark.
    Empty,
    /// Messages wait, because the write queue is at the limit.
    More,
}

/// The place of a connection that a reactor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Home {
    /// The number of the reactor's shard, which is unique in the process.
    pub shard: u32,
    /// The id of the connection on its shard.
    pub id: u32,
}

/// Where a reactor runs a connection, and how its transport leaves it.
pub(crate) struct OnReactor<S> {
    pub(crate) home: Home,
    pub(crate) release: fn(S) -> S,
}

/// What a feed is made from.
#[derive(Debug)]
pub struct Attach {
    /// Set if a reactor runs the connection.
    pub home: Option<Home>,
    /// Wakes the connection: it takes what waits, and writes.
    pub waker: Waker,
    /// The connection's settings.
    pub config: ValidConfig,
}
