//! A backplane on Redis (or Valkey): one server, Sentinel, or a cluster.
//!
//! ```no_run
//! use ws_cluster::redis::RedisBackplane;
//!
//! # async fn build() -> Result<(), Box<dyn std::error::Error>> {
//! let one = RedisBackplane::builder(["redis://:password@redis-1:6379"]).prefix("chat").start()?;
//! let cluster = RedisBackplane::builder(["redis://redis-1:6379", "redis://redis-2:6379"]).cluster().start()?;
//! let sentinel = RedisBackplane::builder(["redis://sentinel-1:26379"]).sentinel("mymaster").start()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//! - A **live** publication is `PUBLISH`, in a cluster `SPUBLISH`, on the topic's channel.
//! - A **logged** publication is one script: it takes the next offset, appends to a stream and publishes. The epoch and
//!   the newest offset are in a hash that lives at least a day longer than the last publication, and ten times as long
//!   as the entries. So a log whose entries have expired is still known.
//! - **Presence** is a hash per topic. Values expire by the server's clock.
//! - All keys and the channel of a topic share a hash tag, so in a cluster they are in one slot and move together.
//!
//! # Promises
//! - A publication is sent once. It is sent again only after an answer that says that it was not executed (`MOVED`,
//!   `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, `LOADING`, `READONLY`, `NOSCRIPT`). If an answer is lost, the publication fails,
//!   and may have happened.
//! - Each connection that subscribes is probed: a script removes a key that does not exist, which only a master allows,
//!   and publishes; the connection has to hear that. A stopped server, a dead path, a master that was demoted while TCP
//!   stays healthy: each shows within the probe's interval and timeout. [`health`](crate::Backplane::health) is
//!   [`Deaf`](crate::Health::Deaf) then, and the connection is made again.
//! - It connects again for ever: after a random delay below a limit that doubles from 100 ms to 5 s. Topics are
//!   subscribed again in batches of 512.
//! - When a topic is subscribed again, a [`Gap`](crate::BackplaneEvent::Gap) comes first that names it:
//!   [`Disconnected`](crate::GapCause::Disconnected) after a lost connection, [`Moved`](crate::GapCause::Moved) after
//!   its slot went to another server.
//! - Memory is bounded: publications in flight by bytes, events by bytes, the rest by the number of topics.
//!
//! # What Redis does not promise
//! - Pub/sub has no memory. What is published while a node is not subscribed is gone for it; logged topics have the
//!   log.
//! - Redis answers before it has replicated or written to disk. After a failover or a restart, the newest entries of a
//!   log may be gone although publishing them succeeded and some nodes have seen them. The offset then jumps by 2³², so
//!   no offset is used twice, and [`history`](crate::Backplane::history) across the jump is not `complete`. It is not
//!   known whether something was lost, so this is reported after each change of the master, and after the move of a
//!   slot. A log that is gone altogether begins a new epoch.
//! - `Ok` of a live publication means that the server has it, not that there was a subscriber.
//! - A network that splits may leave a node and some clients with an old master. Redis drops what was written there.
//!
//! # What the servers must allow
//! `EVAL`, `EVALSHA`, `SCRIPT LOAD` (optional), `INFO`, `PING`, `PUBLISH` and `SUBSCRIBE` (in a cluster `SPUBLISH`,
//! `SSUBSCRIBE`, `CLUSTER SLOTS`, `ASKING`), and commands of hashes, streams, sorted sets and expiry on the prefix. It
//! is tested with Redis 7.0, which a cluster needs at least for its sharded channels. Set `client-output-buffer-limit
//! pubsub` to what your bursts need: Redis ends connections that are slower, and that is a gap.

mod builder;
mod commands;
mod endpoint;
mod log;
mod names;
mod presence;
mod random;
mod subscriber;
#[cfg(feature = "redis-tls")]
mod tls;
mod topology;
mod window;
mod wire;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Position,
    backplane::{Backplane, BoxFuture, Health, Interest, LogOptions},
    error::BackplaneError,
    event::BackplaneEvents,
    history::History,
};
use commands::{Commands, Request};
use names::{Names, slot};
use subscriber::Subscriber;
use window::Window;

pub use builder::{RedisBackplaneBuilder, RedisConfigError};

/// A [`Backplane`] on Redis. The [module](self) says what it promises.
///
/// Dropping it ends its connections too, without waiting for them.
pub struct RedisBackplane {
    names: Names,
    sharded: bool,
    commands: Arc<Commands>,
    subscriber: Subscriber,
    window: Window,
    deadline: Duration,
    events: Mutex<Option<BackplaneEvents>>,
}

impl RedisBackplane {
    /// Options for a backplane on these servers: `redis://[user:password@]host[:port][/database]`,
    /// `rediss://…` with TLS (feature `redis-tls`), or `unix:///path`.
    ///
    /// ```no_run
    /// use ws_cluster::redis::RedisBackplane;
    ///
    /// # async fn example() -> Result<(), ws_cluster::redis::RedisConfigError> {
    /// let single = RedisBackplane::builder(["redis://redis.internal"]).start()?;
    /// let cluster = RedisBackplane::builder(["redis://a.internal", "redis://b.internal"]).cluster().start()?;
    /// # Ok(()) }
    /// ```
    pub fn builder<I>(urls: I) -> RedisBackplaneBuilder
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        RedisBackplaneBuilder::new(urls.into_iter().map(Into::into).collect())
    }

    /// Runs an operation within the deadline, unless the backplane was shut down.
    async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, BackplaneError>>,
    ) -> Result<T, BackplaneError> {
        self.commands.closed()?;
        operation.await
    }
}

impl Backplane for RedisBackplane {
    fn publish_live<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(self.within(async move {
            let _share = self.window.take(topic.len() + envelope.len())?;
            let channel = self.names.channel(topic);
            let mut command = ::redis::cmd(log::publish_command(self.sharded));
            command.arg(&channel).arg(log::live(&envelope));
            self.commands.call(slot(&channel), &Request::Plain(command), self.deadline).await?;
            Ok(())
        }))
    }

    fn publish_logged<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<Position, BackplaneError>> {
        Box::pin(self.within(async move {
            let _share = self.window.take(topic.len() + envelope.len())?;
            let (commands, names) = (&self.commands, &self.names);
            log::publish(commands, names, self.sharded, topic, &envelope, options, self.deadline).await
        }))
    }

    fn watch(&self, change: Interest) -> BoxFuture<'_, Result<(), BackplaneError>> {
        Box::pin(self.within(async move {
            let watched = tokio::time::timeout(self.deadline, self.subscriber.watch(change)).await;
            watched.unwrap_or(Err(BackplaneError::TimedOut { after: self.deadline }))
        }))
    }

    fn history<'a>(
        &'a self,
        topic: &'a str,
        since: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, BackplaneError>> {
        Box::pin(self.within(log::read(&self.commands, &self.names, topic, since, limit, self.deadline)))
    }

    fn set_presence<'a>(
        &'a self,
        topic: &'a str,
        node: u64,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(self.within(async move {
            presence::set(&self.commands, &self.names, topic, (node, &value), ttl, self.deadline).await
        }))
    }

    fn presence<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<(u64, Bytes)>, BackplaneError>> {
        Box::pin(self.within(presence::get(&self.commands, &self.names, topic, self.deadline)))
    }

    fn take_events(&self) -> Option<BackplaneEvents> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn health(&self) -> Health {
        self.subscriber.health()
    }

    fn shut_down(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.commands.close();
            self.subscriber.stop().await;
        })
    }
}

impl fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplane")
            .field("prefix", &self.names)
            .field("sharded", &self.sharded)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
