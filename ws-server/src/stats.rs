//! Statistics: of a server, and of each connection.
//!
//! A server always counts. [`Server::stats_handle`](crate::Server::stats_handle) returns a [`StatsHandle`], and its
//! [`snapshot`](StatsHandle::snapshot) sums the counters up:
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! let server = ws_server::Server::bind("127.0.0.1:9001").await?;
//! let stats = server.stats_handle();
//! tokio::spawn(async move {
//!     loop {
//!         tokio::time::sleep(std::time::Duration::from_secs(10)).await;
//!         let stats = stats.snapshot();
//!         eprintln!("{} connections, {} messages received", stats.connections, stats.received.messages);
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! An [`Observer`] learns of each handshake, of each connection's beginning and end, and of peers that are slow.
//!
//! With [`ServerBuilder::statistics`](crate::ServerBuilder::statistics) each connection counts too:
//! [`WebSocket::stats`](crate::WebSocket::stats) and [`Conn::stats`](crate::Conn::stats) return a [`ConnectionStats`].
//! [`CloseInfo::recording`](crate::CloseInfo::recording) has a [`Recording`] of its latest events.

#[doc(inline)]
pub use crate::{
    measure::{
        CaughtUp, CloseCount, Closed, Closes, HandshakeEnd, HandshakeFailure, HandshakeFailures,
        HandshakeOutcome, Handshakes, Histogram, Observer, Opened, Panics, Pressure, ServerStats, Slow,
        SlowReason, Traffic,
    },
    shard::StatsHandle,
};
#[doc(inline)]
pub use ws_proto::{
    recorder::{Recorded, RecordedEvent, Recording},
    stats::{CompressedStats, ConnectionStats, DirectionStats, RoundTrip},
};
