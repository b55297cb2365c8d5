//! A WebSocket client on tokio.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ws = ws_client::connect("ws://127.0.0.1:9001/").await?;
//! ws.send("hello").await?;
//! if let Some(message) = ws.recv().await {
//!     println!("{:?}", message.as_text());
//! }
//! ws.close(ws_client::CloseCode::NORMAL, "").await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Connector`] sets headers, subprotocols, limits and timeouts.
//!
//! # Events
//! This crate has no handler trait. A task owns the connection and calls the async methods of [`WebSocket`],
//! which give the same guarantees as the server's callbacks:
//!
//! - A message arrived: [`recv`](ws_tokio::WebSocket::recv) returns it.
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
pub mod message;
mod proxy;
pub mod reconnecting;
mod redirect;
mod refusal;
mod response;
mod stream;
#[cfg(feature = "tls-core")]
mod tls;
mod url;

pub use connector::{Connected, Connector, connect};
pub use proxy::{Proxy, ProxyUrl};
pub use reconnecting::client::Reconnecting;
pub use refusal::Refusal;
/// The version of rustls whose configuration [`Tls`] accepts.
#[cfg(feature = "tls-core")]
pub use rustls;
pub use stream::ClientStream;
#[cfg(feature = "tls-core")]
pub use tls::{Roots, Tls, TlsBuilder};
#[cfg(feature = "deflate")]
pub use ws_proto::deflate::{DeflateConfig, DeflateParams};
#[doc(inline)]
pub use ws_proto::{CloseCode, CloseInfo, Message};
pub use ws_proto::{
    Config, Keepalive, Limits, ValidConfig,
    mask::{ChaChaMaskSource, MaskSource},
};
#[doc(inline)]
pub use ws_tokio::{Error, Parts, Sender, WebSocket};

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
