//! Topics of `ws-server` on several machines: what one node publishes reaches the members of a topic on all nodes.
//!
//! A [`Cluster`] connects the [`Topics`](ws_server::topics::Topics) of a process with a [`Backplane`]: the connection
//! to a broker. There are backplanes for Redis (feature `redis`), for NATS (feature `nats`) and, for tests and for
//! several nodes in one process, [`MemoryBroker`].
//!
//! ```
//! use ws_cluster::{Cluster, MemoryBroker, Mode, LogOptions};
//! use ws_server::topics::{History, TopicOptions, Topics};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! let topics = Topics::builder().options(TopicOptions::new().history(History::new(1000))).build()?;
//! let cluster = Cluster::builder(&topics, broker.node())
//!     .mode(|topic| if topic.starts_with("chat:") { Mode::Logged(LogOptions::default()) } else { Mode::Live })
//!     .start()?;
//!
//! let published = cluster.publish("chat:1", "hello").await?;
//! assert!(published.position.is_some());
//! cluster.shut_down().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Which mode
//!
//! | [`Mode`] | order | a member of another node gets it | after a loss |
//! |---|---|---|---|
//! | [`Live`](Mode::Live) | of each publisher | at most once | [`ClusterEvent::Gap`] |
//! | [`Logged`](Mode::Logged) | one for all nodes, by the broker | once | the log is read; if that is not possible, [`ClusterEvent::Gap`] |
//! | [`Local`](Mode::Local) | of each publisher | never | |
//!
//! # How a logged topic stays complete
//!
//! The broker gives each entry a [`Position`]: an epoch, drawn when the log begins, and an offset. A node watches the
//! topic first, then reads the newest position, and hands out what follows it, in order. It drops what it has already.
//! If an entry does not follow the one before, if the connection was lost, or if the backplane reports a gap, it holds
//! what arrives, reads the log from its last position, merges, and continues. What the broker does not have any more is
//! a [`ClusterEvent::Gap`], and the topic moves on to what is left.
//!
//! [`Cluster::subscribe_from`] does the same for one member: the node's history is extended to the member's position
//! from the broker's log before it subscribes.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backplane;
mod cluster;
pub mod envelope;
mod error;
mod event;
mod history;
mod memory;
#[cfg(feature = "nats")]
#[cfg_attr(docsrs, doc(cfg(feature = "nats")))]
pub mod nats;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod redis;

pub use backplane::{Backplane, BoxFuture, Health, Interest, LogOptions};
pub use cluster::{
    Cluster, ClusterBuilder, ClusterError, ClusterEvent, ClusterEvents, ClusterPresent, Mode, NodeId,
    PresenceEvent, PresenceEvents, Published, StartError,
};
pub use envelope::{Envelope, EnvelopeError};
pub use error::BackplaneError;
pub use event::{BackplaneEvent, BackplaneEvents, EventQueue, GapCause, Topics};
pub use history::{History, LogEntry};
pub use memory::{MemoryBackplane, MemoryBroker};
pub use ws_server::topics::Position;

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
