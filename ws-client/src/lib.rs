//! A WebSocket client on tokio.
//!
//! ```no_run
//! use ws_client::CloseCode;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut ws = ws_client::connect("ws://127.0.0.1:9001/").await?;
//!     ws.send("hello").await?;
//!     while let Some(message) = ws.recv().await {
//!         println!("{:?}", message.as_text());
//!         if message.as_text() == Some("bye") {
//!             break;
//!         }
//!     }
//!     let closed = ws.close(CloseCode::NORMAL, "").await;
//!     println!("closed with code {}", closed.code());
//!     Ok(())
//! }
//! ```
//!
//! # What you want, and where it is
//!
//! | to do | use |
//! |---|---|
//! | connect with the defaults | [`connect`]; it fails with [`ConnectError`](error::ConnectError) |
//! | change settings | [`Connector::new`], its methods, then [`Connector::connect`] |
//! | send a header to all servers, or to one | [`Connector::header`], or an [`http::Request`]: [`IntoClientRequest`] |
//! | offer a subprotocol | [`Connector::subprotocol`] |
//! | read the response | [`Connector::open`]; the response of a refusal is in [`ConnectError::Refused`](error::ConnectError::Refused) |
//! | limit messages, times and queues | [`Connector::max_message_size`], [`handshake_timeout`](Connector::handshake_timeout), [`idle_timeout`](Connector::idle_timeout), [`write_queue_bytes`](Connector::write_queue_bytes) and their neighbours |
//! | change any other setting of the protocol | [`Connector::protocol`] |
//! | trust a certificate authority, or send a client certificate | `Tls::builder`, then `Connector::tls` (feature `tls`) |
//! | use a proxy, or none | [`Connector::proxy`] |
//! | connect over a stream of your own | [`Connector::connect_on`], with TLS `Connector::connect_tls_on` |
//! | open many WebSockets on one HTTP/2 connection | the module `http2` (feature `http2`) |
//! | compress | `Connector::deflate` (feature `deflate`) |
//! | see the socket and the TLS connection | [`WebSocket::with_io`], [`ClientStream`] |
//! | send from several tasks, or receive and send in two | [`WebSocket::sender`], [`WebSocket::split`] |
//! | count what a connection does, learn why it closed | [`Connector::statistics`], [`Connector::recorder`] |
//! | measure the round-trip time, see pings, pongs and the Close | [`WebSocket::ping_rtt`], [`WebSocket::recv_event`] |
//!
//! # Events
//! This crate has no handler trait. A task owns the connection and calls the async methods of [`WebSocket`],
//! which give the same guarantees as the server's callbacks:
//!
//! - A message arrived: [`recv`](ws_tokio::WebSocket::recv) returns it.
//! - A ping, a pong or the peer's Close arrived: [`recv_event`](ws_tokio::WebSocket::recv_event) returns it.
//! - A message was written: [`send`](ws_tokio::WebSocket::send) returns. If it fails, its error contains the
//!   message.
//! - The connection closed: `recv` returns `None`, and [`close_info`](ws_tokio::WebSocket::close_info) says
//!   how it closed. The socket is closed by then.
//! - The connection attempt failed: [`connect`] returns an error.
//!
//! [`Reconnecting`] connects again when a connection ends, and reports the same as events.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
pub mod close;
mod connector;
mod credentials;
mod dial;
pub mod error;
#[cfg(feature = "http2")]
pub mod http2;
pub mod message;
pub mod protocol;
mod proxy;
pub mod reconnecting;
mod redirect;
mod refusal;
mod request;
mod response;
pub mod stats;
mod stream;
#[cfg(feature = "tls-core")]
pub mod tls;
mod url;

/// The version of bytes whose types appear in this crate.
pub use bytes;
pub use connector::{Connected, Connector, connect};
/// The version of http whose types appear in this crate.
pub use http;
pub use proxy::{Proxy, ProxyUrl};
pub use reconnecting::client::Reconnecting;
pub use request::IntoClientRequest;
/// The version of rustls whose configuration [`Tls`] accepts.
#[cfg(feature = "tls-core")]
pub use rustls;
pub use stream::ClientStream;
#[cfg(feature = "tls-core")]
pub use tls::settings::Tls;
#[cfg(feature = "deflate")]
pub use ws_proto::deflate::DeflateConfig;
#[doc(inline)]
pub use ws_proto::{CloseCode, CloseInfo, Message};
pub use ws_proto::{Config, Keepalive};
#[doc(inline)]
pub use ws_tokio::{Error, Event, Receiver, Sender, WebSocket};

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
