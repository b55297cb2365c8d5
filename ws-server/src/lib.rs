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
//! [`Server::builder`] sets limits, deadlines, TLS, compression, a function that decides about each request, and plain
//! HTTP on the same port. [`Acceptor`] does the handshake on any stream, for servers with a listener of their own.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod builder;
pub mod close;
mod connection;
mod engine;
pub mod error;
mod handshake;
pub mod message;
mod net;
mod options;
mod server;
mod shard;

#[cfg(test)]
mod tests;

pub use admission::Request;
pub use builder::ServerBuilder;
pub use connection::{Conn, Handler};
pub use handshake::{Acceptor, PendingUpgrade};
pub use net::ServerStream;
#[cfg(feature = "tls-core")]
pub use net::Tls;
/// The version of rustls whose settings [`Tls`] takes.
#[cfg(feature = "tls-core")]
pub use rustls;
pub use server::{Server, ShardedServer};
pub use shard::{ShutdownHandle, ShutdownReport};
#[cfg(feature = "deflate")]
pub use ws_proto::deflate::{DeflateConfig, DeflateParams};
#[doc(inline)]
pub use ws_proto::{
    CloseCode, CloseInfo, Message, MessageRef,
    handshake::{OriginPolicy, Rejection, TransportSecurity},
};
pub use ws_proto::{
    Config, Keepalive, Limits, ValidConfig,
    memory::{BufferPoolConfig, MemoryAccount, MemoryBudget},
};
#[doc(inline)]
pub use ws_tokio::{Error, Parts, Sender, WebSocket};

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
