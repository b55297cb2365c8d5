//! A backplane on [NATS](https://nats.io): live topics on its core, logged topics on JetStream.
//!
//! ```no_run
//! use ws_cluster::nats::{ConnectOptions, NatsBackplane};
//!
//! # fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let backplane = NatsBackplane::builder("nats://nats-1:4222")
//!     .server("nats://nats-2:4222")
//!     .connect_options(ConnectOptions::with_credentials("…")?)
//!     .prefix("chat")
//!     .replicas(3)
//!     .start()?;
//! # Ok(())
//! # }
//! ```
//!
//! It needs nats-server 2.9 or newer. Logged topics and presence need JetStream, live topics do not: the streams are
//! opened at their first use.
//!
//! # What it promises
//!
//! **Live topics** are at most once. `publish_live` returns once the server has processed the publication: it then
//! publishes a message to itself and hears it, once for all publications that wait at that moment. Publications of
//! one node to one topic stay in order.
//!
//! **Logged topics** are in one stream. `publish_logged` waits for the stream's acknowledgement, and sends again if
//! none comes; the stream recognises what it has by a message id, for two minutes or as long as entries are kept.
//! The stream republishes each entry with its sequence and that of the topic's entry before it. Nodes subscribe to
//! that, so no consumer has to be kept in the server, and a missing entry shows at the next one:
//! [`previous`](crate::BackplaneEvent::Logged) does not match. It is `None` where no entry before it is kept. The
//! offset of a position is the stream's sequence. Its epoch is the time at which the stream was created, in
//! nanoseconds since 1970, so a server that has lost its store begins a new epoch.
//!
//! **Topics fall into groups** by a hash of their names, 256 by default, and a node subscribes to groups. So a node
//! has a few subscriptions, which are made again within milliseconds however many topics it watches; it also
//! receives, and skips, the other topics of these groups.
//!
//! **History** is complete if the entry that it begins behind is still there, since a topic's oldest entries leave
//! first. If that entry has expired, this node may still know: it watches the topic, has read its log, has heard
//! everything since then up to half of the log's age ago, and the log is not full. So quiet topics have no gap
//! after a reconnect. Otherwise, and for positions of another epoch, the history is not complete. Without a
//! position it always is: it begins with the oldest entry that is kept.
//!
//! **Presence** is in a second stream, in the servers' memory. A restarted server has forgotten it until nodes
//! store it again. Values expire by the server's clock, if all nodes use the same TTL. A TTL that is shorter than
//! the longest one that was used is compared with the clock of the node that reads.
//!
//! # How it fails
//!
//! - The connection is lost: [`Down`](crate::BackplaneEvent::Down) at once; then attempts for ever, with growing
//!   delays of up to 5 s and jitter, over all servers; [`Up`](crate::BackplaneEvent::Up) once everything is watched
//!   again. Meanwhile calls return [`Disconnected`](crate::BackplaneError::Disconnected) at once. Nothing is sent
//!   late. A publication in progress returns [`TimedOut`](crate::BackplaneError::TimedOut), since the server may
//!   have it; a logged one is tried again until its deadline.
//! - The server does not answer: [`Deaf`](crate::Health::Deaf) after the probe's timeout, a new connection after
//!   twice that time. Nothing is missed while it is only slow.
//! - This node is slow: if the client library drops messages, it does not say of which topics. All of them get a
//!   [`Gap`](crate::BackplaneEvent::Gap) with [`SlowConsumer`](crate::GapCause::SlowConsumer).
//! - The stream is deleted: the next use creates it again. Each node sees the new epoch within its probe interval,
//!   or at the next entry of a topic of which it has heard or read one, and reports `Down` and `Up`. If it must ask
//!   the server about an entry, it does so once a second at most.
//!
//! What it cannot see: servers of a NATS cluster that lose messages between them without a lost connection of this
//! node. For a live topic this is silent. For a logged topic it shows at the topic's next entry. If a server's
//! machine loses power, a stream with one replica can lose acknowledged entries of the last two minutes and use
//! their sequences again in the same epoch; use three replicas, or `sync_interval: always` in the server. A purge
//! by an administrator counts as expired entries.
//!
//! # Limits
//!
//! Topic names of up to 1,024 bytes always fit. Publications in flight and events are bounded in bytes; a publication
//! that timed out counts as long as the client may hold it. What the client
//! library buffers is bounded in messages per group. An envelope must fit into the server's `max_payload`, 1 MiB by
//! default, less about 100 bytes.

mod api;
mod builder;
mod connect;
mod history;
mod interest;
mod link;
mod presence;
mod publish;
mod receive;
mod shared;
mod stream;
mod subject;
mod supervisor;
mod window;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

pub use async_nats::ConnectOptions;
use bytes::Bytes;

pub use self::builder::{NatsBackplaneBuilder, NatsConfigError};
use self::{
    builder::Config,
    connect::{Connector, Server},
    link::{Task, lock},
    shared::{Shared, Subscriptions},
    subject::Kind,
};
use crate::{
    Backplane, BackplaneError, BackplaneEvents, BoxFuture, EventQueue, Health, History, Interest, LogOptions,
    Position,
};

/// A [`Backplane`] on NATS. Dropping it closes its connection. See the [module](self).
pub struct NatsBackplane {
    shared: Arc<Shared>,
    receiver: Mutex<Option<BackplaneEvents>>,
    supervisor: Mutex<Option<Task>>,
}

impl NatsBackplane {
    /// Options for a connection to this server, such as `nats://host:4222`, or `tls://host` to require TLS.
    pub fn builder(url: impl Into<String>) -> NatsBackplaneBuilder {
        NatsBackplaneBuilder::new(url.into())
    }

    fn start(config: Config, servers: Vec<Server>, options: ConnectOptions) -> Self {
        let (events, receiver) = EventQueue::new(config.event_queue);
        let shared = Arc::new(Shared::new(config, events));
        let connector = Connector::new(servers, options);
        let supervisor = Task(tokio::spawn(supervisor::supervise(Arc::clone(&shared), connector)));
        Self { shared, receiver: Mutex::new(Some(receiver)), supervisor: Mutex::new(Some(supervisor)) }
    }

    async fn change(&self, change: Interest) -> Result<(), BackplaneError> {
        let shared = &self.shared;
        // All names are checked before anything is changed.
        let names = |topics: &[Arc<str>]| {
            topics.iter().map(|topic| shared.subjects.name(topic)).collect::<Result<Vec<_>, _>>()
        };
        let (live, logged) = (names(&change.add_live)?, names(&change.add_logged)?);
        let kept: HashSet<_> = change.add_live.iter().chain(&change.add_logged).collect();
        for topic in change.remove.iter().filter(|topic| !kept.contains(topic)) {
            // A name that cannot be used is not watched.
            if let Ok(name) = shared.subjects.name(topic) {
                shared.watched.remove(&name);
            }
        }
        for (topic, name) in change.add_live.iter().zip(live) {
            shared.watched.add(topic, name, Kind::Live);
        }
        for (topic, name) in change.add_logged.iter().zip(logged) {
            shared.watched.add(topic, name, Kind::Out);
        }
        let link = shared.link()?;
        let result = self.subscribe(&link, !change.add_logged.is_empty()).await;
        if result.is_err() && !link.signals.is_over() {
            shared.resync.notify_one();
        }
        result.map_err(|error| shared.error(error))
    }

    async fn subscribe(&self, link: &Arc<link::Link>, has_logged: bool) -> Result<(), api::ApiError> {
        let deadline = self.shared.deadline();
        if has_logged {
            self.shared.log.open(&self.shared.api(link, deadline)).await?;
        }
        receive::subscribe(&self.shared, link).await?;
        link.barrier(deadline).await?;
        Ok(())
    }
}

impl Backplane for NatsBackplane {
    fn publish_live<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(publish::live(&self.shared, topic, envelope))
    }

    fn publish_logged<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<Position, BackplaneError>> {
        Box::pin(publish::logged(&self.shared, topic, envelope, *options))
    }

    fn watch(&self, change: Interest) -> BoxFuture<'_, Result<(), BackplaneError>> {
        Box::pin(self.change(change))
    }

    fn history<'a>(
        &'a self,
        topic: &'a str,
        since: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, BackplaneError>> {
        Box::pin(history::history(&self.shared, topic, since, limit))
    }

    fn set_presence<'a>(
        &'a self,
        topic: &'a str,
        node: u64,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(presence::set(&self.shared, topic, node, value, ttl))
    }

    fn presence<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<(u64, Bytes)>, BackplaneError>> {
        Box::pin(presence::get(&self.shared, topic))
    }

    fn take_events(&self) -> Option<BackplaneEvents> {
        lock(&self.receiver).take()
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn shut_down(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.shared.close();
            let supervisor = lock(&self.supervisor).take();
            if let Some(mut supervisor) = supervisor {
                supervisor.0.abort();
                let _ = (&mut supervisor.0).await;
            }
            // It may have connected meanwhile.
            self.shared.close();
            *self.shared.subscriptions.lock().await =
                Subscriptions { link: u64::MAX, groups: HashMap::new() };
        })
    }
}

impl Drop for NatsBackplane {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for NatsBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBackplane").field("shared", &self.shared).finish_non_exhaustive()
    }
}
