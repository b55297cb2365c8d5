use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{BackplaneError, BackplaneEvents, History, Position};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Carries publications between the nodes of a cluster. It knows topics and bytes, not WebSockets.
///
/// An implementation connects again by itself, for ever, with a growing and jittered delay, and watches again what was
/// watched. It never loses publications silently: what may be missing is an event.
pub trait Backplane: fmt::Debug + Send + Sync + 'static {
    /// Publishes to all nodes that watch the topic, be it as a live or as a logged one, at most once each. `Ok` means
    /// that the broker has it; a node that is not connected at this moment does not get it. This node gets its own
    /// publications too, if it watches the topic and the broker echoes.
    ///
    /// # Errors
    /// [`BackplaneError`]. After [`TimedOut`](BackplaneError::TimedOut), and after
    /// [`Disconnected`](BackplaneError::Disconnected) if the connection broke meanwhile, it may have been published.
    ///
    /// # Cancel safety
    /// If the future is dropped, the publication may have happened or not.
    fn publish_live<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
    ) -> BoxFuture<'a, Result<(), BackplaneError>>;

    /// Appends to the topic's log and publishes to all nodes that watch the topic. Returns the position that the broker
    /// gave the entry.
    ///
    /// # Errors and cancel safety
    /// As [`publish_live`](Self::publish_live).
    fn publish_logged<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<Position, BackplaneError>>;

    /// Changes what is watched. Idempotent. Once it has returned `Ok`, later publications of added topics become
    /// events.
    ///
    /// # Errors
    /// [`BackplaneError`]. The change is kept and done as soon as it can be: [`Up`](crate::BackplaneEvent::Up) or a
    /// [`Gap`](crate::BackplaneEvent::Gap) with the topics follows then.
    fn watch(&self, change: Interest) -> BoxFuture<'_, Result<(), BackplaneError>>;

    /// Reads at most `limit` entries of the topic's log behind `since`; without it, from the oldest that is kept.
    ///
    /// # Errors
    /// [`BackplaneError`].
    fn history<'a>(
        &'a self,
        topic: &'a str,
        since: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, BackplaneError>>;

    /// Stores what this node knows about who is in the topic, for other nodes to read, until `ttl` has passed. An empty
    /// value removes it.
    ///
    /// # Errors
    /// [`BackplaneError`].
    fn set_presence<'a>(
        &'a self,
        topic: &'a str,
        node: u64,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), BackplaneError>>;

    /// Reads what all nodes have stored with [`set_presence`](Self::set_presence) and what has not expired.
    ///
    /// # Errors
    /// [`BackplaneError`].
    fn presence<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<(u64, Bytes)>, BackplaneError>>;

    /// The events of this backplane. The first call returns them, later calls `None`.
    fn take_events(&self) -> Option<BackplaneEvents>;

    /// Whether this node hears what the broker publishes. Use it for readiness.
    fn health(&self) -> Health;

    /// Ends the connections to the broker. Later calls return [`Closed`](BackplaneError::Closed), and the events end.
    fn shut_down(&self) -> BoxFuture<'_, ()>;
}

/// Whether a node hears its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Connected, all topics are watched, and the latest probe came back.
    Healthy,
    /// Not connected, or not everything is watched yet.
    Disconnected,
    /// Connected, but the latest probe did not come back: publications of others may be missing.
    Deaf,
}

/// Topics to watch, and topics to watch no more. A topic in both is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interest {
    /// Live topics to add.
    pub add_live: Vec<Arc<str>>,
    /// Logged topics to add.
    pub add_logged: Vec<Arc<str>>,
    /// Topics to remove.
    pub remove: Vec<Arc<str>>,
}

/// How long a topic's log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogOptions {
    /// Most entries that are kept. A broker may keep a few more.
    pub max_entries: usize,
    /// The longest time that entries are kept after the last publication.
    pub max_age: Duration,
}

impl LogOptions {
    /// Keeps up to `max_entries` for up to `max_age`.
    #[must_use]
    pub const fn new(max_entries: usize, max_age: Duration) -> Self {
        Self { max_entries, max_age }
    }
}

impl Default for LogOptions {
    /// 1,000 entries, 5 minutes.
    fn default() -> Self {
        Self::new(1_000, Duration::from_secs(300))
    }
}
