//! WebSockets over HTTP/2 (RFC 8441): any number of them as streams of one connection.
//!
//! The server must offer extended CONNECT, as `ws-hyper`, HAProxy and Envoy can.
//!
//! ```no_run
//! use ws_client::{Connector, error::ConnectError};
//!
//! async fn two_rooms() -> Result<(), ConnectError> {
//!     let connector = Connector::new().subprotocol("chat");
//!     let http2 = connector.http2("wss://example.com/").await?;
//!     let mut one = connector.connect_http2("wss://example.com/one", &http2).await?.ws;
//!     let mut other = connector.connect_http2("wss://example.com/other", &http2).await?.ws;
//!     // Each is a `WebSocket` as over HTTP/1.1.
//!     let _ = one.send("hello").await;
//!     println!("{:?}", other.recv().await);
//!     Ok(())
//! }
//! ```
//!
//! # Where the connection comes from
//! - [`Connector::http2`](crate::Connector::http2) makes one to the server of a URL, with TLS for `wss`.
//! - [`Connector::http2_on`](crate::Connector::http2_on) makes one on a transport of the caller's. For TLS, that is a
//!   TLS stream that has agreed upon the protocol `h2` by ALPN.
//! - [`Connector::http2_with`](crate::Connector::http2_with) does the same with settings of hyper's [`Builder`], and
//!   the body type of ordinary requests on the same connection.
//! - [`Http2::new`] takes the [`SendRequest`] of a connection that the application has made with hyper.
//!
//! [`Connector::connect`](crate::Connector::connect) always uses HTTP/1.1. To prefer HTTP/2, connect by HTTP/1.1 if
//! `http2` fails, or if [`Http2::offers_websockets`] is false.
//!
//! # Flow control
//! All streams share the window of their connection. The application of a WebSocket that does not call `recv` leaves
//! its stream's window full. Once the connection's window is full of such data, no stream receives anything. So keep
//! the stream windows small beside the connection's window. [`builder`] has 256 KiB and 16 MiB; hyper's own defaults
//! are 2 MiB and 5 MiB.
//!
//! The server limits the streams of a connection, often to 100 or 200. Beyond that, `connect_http2` waits until a
//! stream ends or its timeout passes.
//!
//! # Versions
//! The hyper types here are those of hyper 1.

mod first_settings;
mod stream;

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
/// hyper's settings of an HTTP/2 connection, and its handle for sending requests.
pub use hyper::client::conn::http2::{Builder, SendRequest};

pub(crate) use first_settings::{FRAME_HEADER, FirstSettings};
pub use stream::Http2Stream;

/// A handle to an HTTP/2 connection, on which [`Connector::connect_http2`](crate::Connector::connect_http2) opens
/// WebSockets. A clone is another handle to the same connection.
///
/// Once all handles are dropped, the connection ends after its last stream. WebSockets that are open continue.
///
/// `B` is the type of the bodies of ordinary requests on the same connection.
pub struct Http2<B = NoBody> {
    sender: SendRequest<B>,
    offers_websockets: bool,
}

impl<B> Http2<B> {
    /// Uses a connection that the application made with hyper and runs itself. Its server must have offered extended
    /// CONNECT: hyper's `Connection::is_extended_connect_protocol_enabled` returns true once the server's settings have
    /// arrived. Otherwise the outcome depends on the server: most reset the stream, which is
    /// [`ConnectError::Http2`](crate::error::ConnectError::Http2), or refuse the request.
    #[must_use]
    pub const fn new(sender: SendRequest<B>) -> Self {
        Self { sender, offers_websockets: true }
    }

    pub(crate) const fn with_offer(sender: SendRequest<B>, offers_websockets: bool) -> Self {
        Self { sender, offers_websockets }
    }

    /// Whether the server offers extended CONNECT, and so WebSockets, by its first settings (RFC 8441 section 3).
    #[must_use]
    pub const fn offers_websockets(&self) -> bool {
        self.offers_websockets
    }

    /// Whether the connection accepts no more requests: it has ended, or a request has failed because the server had
    /// sent GOAWAY. hyper reports GOAWAY only to the next request. WebSockets that are open may continue after GOAWAY.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// hyper's handle to the connection, for ordinary requests. It can be cloned.
    #[must_use]
    pub const fn sender(&self) -> &SendRequest<B> {
        &self.sender
    }
}

impl<B> Clone for Http2<B> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), offers_websockets: self.offers_websockets }
    }
}

impl<B> fmt::Debug for Http2<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2")
            .field("offers_websockets", &self.offers_websockets)
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The settings of [`Connector::http2`](crate::Connector::http2) and [`http2_on`](crate::Connector::http2_on): hyper's
/// defaults, with a window of 256 KiB for each stream and of 16 MiB for the connection.
#[must_use]
pub fn builder() -> Builder<Executor> {
    let mut builder = Builder::new(Executor);
    builder.initial_stream_window_size(256 << 10).initial_connection_window_size(16 << 20);
    builder
}

/// Runs hyper's tasks on the current tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}

/// A body of no bytes. It is the body type of a connection without ordinary requests that have bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoBody;

impl Body for NoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
