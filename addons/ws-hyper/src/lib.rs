//! WebSockets inside [hyper](https://hyper.rs) servers, and those built on it such as axum, over HTTP/1.1 (RFC 6455)
//! and HTTP/2 (RFC 8441): compression, keepalive, an Origin policy, deadlines, bounded memory and a graceful shutdown.
//!
//! An [`Upgrader`] turns requests into WebSockets:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use ws_hyper::{HyperStream, Upgrader, WebSocket};
//!
//! /// hyper's service.
//! fn serve(upgrader: &Upgrader, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
//!     match upgrader.begin(&mut request) {
//!         Ok(upgrade) => upgrade.on_upgrade(echo).unwrap_or_else(|error| error.into_response()),
//!         Err(error) => error.into_response(),
//!     }
//! }
//!
//! async fn echo(mut ws: WebSocket<HyperStream>) {
//!     while let Some(message) = ws.recv().await {
//!         if ws.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! }
//! ```
//!
//! Serve the connections with upgrades: `serve_connection(io, service).with_upgrades()` of hyper, or
//! `serve_connection_with_upgrades` of hyper-util. For HTTP/2, offer extended CONNECT: `enable_connect_protocol()`.
//!
//! With the feature `axum`, the module `axum` has an extractor. With the feature `adopt`, `Adoptable` hands connections
//! to the shards of a server of `ws-server`.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(feature = "http1", feature = "http2")))]
compile_error!("ws-hyper needs the feature `http1`, `http2`, or both");

#[cfg(feature = "adopt")]
mod adopt;
#[cfg(feature = "axum")]
pub mod axum;
pub mod close;
pub mod error;
pub mod message;
pub mod protocol;
mod runtime;
mod stream;
mod task;
mod tracker;
mod upgrade;
mod upgrader;

#[cfg(feature = "adopt")]
pub use adopt::{Adoptable, adopt};
pub use stream::HyperStream;
pub use tracker::ShutdownReport;
pub use upgrade::{Accepted, Upgrade, Upgrading};
pub use upgrader::Upgrader;
#[cfg(feature = "deflate")]
pub use ws_proto::deflate::DeflateConfig;
#[doc(inline)]
pub use ws_proto::{
    CloseCode, CloseInfo, Message,
    handshake::{OriginPolicy, Rejection},
};
pub use ws_proto::{Config, Keepalive};
#[doc(inline)]
pub use ws_tokio::{Error, Event, Receiver, Sender};

#[doc(inline)]
pub use ws_tokio::WebSocket;

/// Compiles the README's code.
#[cfg(all(doctest, feature = "axum", feature = "adopt"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Compiles the code of docs/axum.md.
#[cfg(all(doctest, feature = "axum", feature = "http2", feature = "deflate"))]
#[doc = include_str!("../../../docs/axum.md")]
struct AxumPage;
