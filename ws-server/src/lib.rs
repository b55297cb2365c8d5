//! A WebSocket server on tokio: bounded memory, limits, deadlines, keepalive and graceful shutdown, on by default.
//!
//! Two ways to write one, on the same engine. An async function per connection:
//!
//! ```no_run
//! use ws_server::Server;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let server = Server::bind("127.0.0.1:9001").await?;
//!     server
//!         .serve(|mut ws| async move {
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
//! Or callbacks, with payloads lent from the receive buffer and no allocation per message:
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
//! Server::bind("127.0.0.1:9001").await?.run::<Echo>(()).await;
//! # Ok(())
//! # }
//! ```
//!
//! What a connection costs, what a peer may make the server do, and what happens at each limit is set with
//! [`Server::builder`]. [`Acceptor`] does the handshake on any stream, for servers with a listener of their own.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acceptor;
mod app;
mod builder;
mod conn;
mod contained;
mod handler;
mod handler_task;
mod handshake;
mod heads;
mod host;
mod hub;
mod letters;
mod listener;
mod mailbox;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only the reactor takes the notes"))]
mod notices;
mod options;
mod origin;
#[cfg(target_os = "linux")]
mod reactor;
mod request;
mod runtime;
mod serve_task;
mod server;
mod shard;
mod sharded;
mod shutdown;
mod slots;
mod stream;
mod summons;
mod tasks;
#[cfg(feature = "tls-core")]
mod tls;
mod upgrade;
#[cfg(target_os = "linux")]
mod watch;
mod wheel;

#[cfg(test)]
mod gates;

pub use builder::ServerBuilder;
pub use conn::{BinaryPayload, Conn, TextPayload};
pub use handler::Handler;
pub use origin::OriginPolicy;
pub use request::Request;
/// The version whose settings [`Tls`] takes.
#[cfg(feature = "tls-core")]
pub use rustls;
pub use server::Server;
pub use shutdown::{ShutdownHandle, ShutdownReport};
pub use stream::ServerStream;
#[cfg(feature = "tls-core")]
pub use tls::Tls;
pub use upgrade::{AcceptError, Acceptor, PendingUpgrade};
pub use ws_proto::{
    BufferPoolConfig, CloseCode, CloseError, CloseFrame, CloseInfo, Completion, Config, ConfigError,
    ConnectionError, ConnectionState, ControlError, Initiator, Keepalive, LimitExceeded, Limits,
    MemoryAccount, MemoryBudget, Message, MessageKind, MessageRef, PreparedMessage, ProtocolError, SendError,
    TimedOut, Utf8Bytes,
    handshake::{AcceptanceError, Rejection, RequestError},
};
#[cfg(feature = "deflate")]
pub use ws_proto::{DeflateConfig, DeflateParams};
pub use ws_tokio::Sender;
#[cfg(feature = "tls-core")]
pub use ws_tokio::tls::TlsError;

/// A server's WebSocket; over a transport of your own ([`Acceptor`]) it has that as its parameter.
pub type WebSocket<S = ServerStream> = ws_tokio::WebSocket<S>;

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
