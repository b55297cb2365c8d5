//! A WebSocket server on tokio (RFC 6455, with compression by RFC 7692). Bounded memory, limits, deadlines, keepalive
//! and graceful shutdown are on by default.
//!
//! There are two ways to write a server. The first is an async function per connection:
//!
//! ```no_run
//! use ws_server::Server;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let server = Server::bind("127.0.0.1:9001").await?;
//!     server
//!         .serve(|mut ws, _request| async move {
//!             while let Some(message) = ws.recv().await {
//!                 if ws.send(message).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         })
//!         .await;
//!     Ok(())
//! }
//! ```
//!
//! The second is a [`Handler`] with callbacks. It borrows payloads from the receive buffer, and allocates nothing per
//! message:
//!
//! ```no_run
//! use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Context = ();
//!
//!     fn accept(_request: &mut Request, _context: &()) -> Result<Self, Rejection> {
//!         Ok(Self)
//!     }
//!
//!     fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
//!         let _ = conn.send(message);
//!     }
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! Server::bind("127.0.0.1:9001").await?.serve_handler::<Echo>(()).await;
//! # Ok(())
//! # }
//! ```
//!
//! [`ServerBuilder`] has the settings, and documents each default:
//!
//! | what you want | method |
//! |---|---|
//! | limits | [`max_message_size`](ServerBuilder::max_message_size), [`max_connections`](ServerBuilder::max_connections), [`max_connections_per_address`](ServerBuilder::max_connections_per_address), [`max_handshakes`](ServerBuilder::max_handshakes), [`memory_budget`](ServerBuilder::memory_budget), [`write_queue_bytes`](ServerBuilder::write_queue_bytes) |
//! | deadlines | [`handshake_timeout`](ServerBuilder::handshake_timeout), [`message_timeout`](ServerBuilder::message_timeout), [`write_timeout`](ServerBuilder::write_timeout), [`close_timeout`](ServerBuilder::close_timeout), [`idle_timeout`](ServerBuilder::idle_timeout), [`keepalive`](ServerBuilder::keepalive) |
//! | to authenticate, choose a subprotocol, add response headers, reject | [`on_request`](ServerBuilder::on_request), [`on_request_async`](ServerBuilder::on_request_async), [`Handler::accept`] |
//! | web pages of other hosts | [`origin`](ServerBuilder::origin) |
//! | health checks and pages on the same port | [`http`](ServerBuilder::http) |
//! | TLS | [`tls`](ServerBuilder::tls) |
//! | compression | [`deflate`](ServerBuilder::deflate) |
//! | Unix sockets, a listener of your own | [`bind_unix`](ServerBuilder::bind_unix), [`listener`](ServerBuilder::listener) |
//! | to know the clients behind a proxy | [`proxy`](mod@proxy), [`proxy_protocol`](ServerBuilder::proxy_protocol), [`forwarded`](ServerBuilder::forwarded) |
//! | threads of the server's own (shards) | [`Server::sharded`] |
//! | graceful shutdown | [`Server::shutdown_handle`] |
//! | statistics, metrics, to observe connections | [`stats`], [`Server::stats_handle`], [`observer`](ServerBuilder::observer) |
//! | to send to many connections: topics, publish and subscribe | [`topics`](mod@topics), [`Server::topics`], [`topics`](ServerBuilder::topics) |
//! | to send from other tasks, or to receive and send in two | [`WebSocket::sender`], [`Conn::sender`], [`WebSocket::split`] |
//! | the round-trip time; pings, pongs and the peer's Close | [`WebSocket::ping_rtt`], [`WebSocket::recv_event`] |
//! | to count what a connection does, and to learn why it closed | [`statistics`](ServerBuilder::statistics), [`recorder`](ServerBuilder::recorder) |
//! | WebSockets inside axum or hyper, on the server's shards | [`Server::adopter`], [`without_listener`](ServerBuilder::without_listener) |
//! | only the handshake, on any stream | [`accept()`], [`accept_with`], [`Acceptor`] |
//!
//! Less common names are in modules: [`error`], [`message`] for payloads and events, [`close`], [`topics`](mod@topics),
//! [`stats`], `tls`, and [`protocol`] for limits, checked configurations and the parts of a connection. `ws-client` has
//! the same modules, except for topics.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unnameable_types)]

mod admission;
pub mod adopt;
mod builder;
pub mod close;
mod connection;
mod engine;
pub mod error;
mod handshake;
mod log_limit;
mod measure;
pub mod message;
#[cfg(feature = "metrics")]
pub mod metrics;
mod net;
mod options;
pub mod protocol;
pub mod proxy;
mod server;
mod shard;
pub mod stats;
#[cfg(feature = "tls-core")]
pub mod tls;
pub mod topics;
mod wait;

#[cfg(test)]
mod tests;

pub use admission::Request;
pub use builder::ServerBuilder;
/// The version of bytes whose types appear in this crate.
pub use bytes;
pub use connection::{Conn, Handler};
pub use handshake::{Acceptor, PendingUpgrade, accept, accept_with};
/// The version of http whose types appear in this crate.
pub use http;
pub use net::ServerStream;
#[cfg(feature = "tls-core")]
pub use net::Tls;
/// The version of rustls whose settings [`Tls`] takes.
#[cfg(feature = "tls-core")]
pub use rustls;
pub use server::{Server, ShardedServer};
pub use shard::{ShutdownHandle, ShutdownReport};
#[cfg(feature = "deflate")]
pub use ws_proto::deflate::DeflateConfig;
#[doc(inline)]
pub use ws_proto::{
    CloseCode, CloseInfo, Message, MessageRef,
    handshake::{OriginPolicy, Rejection},
};
pub use ws_proto::{Config, Keepalive};
#[doc(inline)]
pub use ws_tokio::{Error, Event, Receiver, Sender, WebSocket};

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
