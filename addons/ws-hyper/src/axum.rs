//! An extractor for axum 0.8, with the method names of axum's own.
//!
//! ```
//! use axum::{Router, response::Response, routing::any};
//! use ws_hyper::{HyperStream, WebSocket, axum::WebSocketUpgrade};
//!
//! async fn handler(ws: WebSocketUpgrade) -> Response {
//!     ws.protocols(["chat"]).on_upgrade(echo)
//! }
//!
//! async fn echo(mut ws: WebSocket<HyperStream>) {
//!     while let Some(message) = ws.recv().await {
//!         if ws.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! }
//!
//! let app: Router = Router::new().route("/ws", any(handler));
//! ```
//!
//! Declare routes with `any`: a WebSocket is a GET in HTTP/1.1 and a CONNECT in HTTP/2.
//!
//! # Where the `Upgrader` comes from
//! - `WebSocketUpgrade` works with any state. It uses the [`Upgrader`] that the router has as an
//!   [`Extension`](https://docs.rs/axum/0.8/axum/struct.Extension.html), and otherwise
//!   [`default_upgrader`], which the process shares.
//! - [`WebSocketUpgrade<InState>`](InState) uses the `Upgrader` in the router's state: the state is an `Upgrader`, or
//!   implements `FromRef` for it. A router without one does not compile.
//!
//! ```
//! use axum::{Extension, Router, response::Response, routing::any};
//! use ws_hyper::{Upgrader, axum::{InState, WebSocketUpgrade}};
//!
//! async fn handler(ws: WebSocketUpgrade<InState>) -> Response {
//!     ws.on_upgrade(|_ws| async {})
//! }
//!
//! async fn other(ws: WebSocketUpgrade) -> Response {
//!     ws.on_upgrade(|_ws| async {})
//! }
//!
//! let upgrader = Upgrader::default();
//! let _: Router = Router::new().route("/ws", any(handler)).with_state(upgrader.clone());
//! let _: Router = Router::new().route("/ws", any(other)).layer(Extension(upgrader));
//! ```
//!
//! # On the shards of a server
//! With the feature `adopt`, the extractor `Adoptable` hands connections to a server of `ws-server`, on threads of its
//! own. It takes the place of `WebSocketUpgrade` and needs no `Upgrader`.
//!
//! # Graceful shutdown
//! axum's own shutdown does not know about WebSockets. Call [`Upgrader::shutdown`] too: every connection gets a Close
//! 1001 and is waited for.
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn run(app: axum::Router, upgrader: ws_hyper::Upgrader, stop: impl Future<Output = ()> + Send + 'static)
//! # -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let stopped = async move {
//!     stop.await;
//!     upgrader.shutdown(Duration::from_secs(10)).await;
//! };
//! axum::serve(listener, app).with_graceful_shutdown(stopped).await
//! # }
//! ```

use std::{fmt, future::Future, marker::PhantomData, sync::OnceLock};

use axum_core::{
    body::Body,
    extract::{FromRef, FromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, request};
use ws_proto::{Config, handshake::Rejection};
use ws_tokio::WebSocket;

use crate::{
    error::{AnswerError, BeginError, UpgradeError},
    stream::HyperStream,
    upgrade::{Accepted, Upgrade},
    upgrader::Upgrader,
};

/// Marks a [`WebSocketUpgrade`] that uses the [`Upgrader`] of an `Extension`, or else [`default_upgrader`].
#[derive(Debug)]
pub enum InExtensions {}

/// Marks a [`WebSocketUpgrade`] that uses the [`Upgrader`] in the router's state.
#[derive(Debug)]
pub enum InState {}

/// Returns the upgrader of requests to routers that have none: the default configuration, the same-host Origin policy.
/// All routers of the process share it; use it to shut their connections down.
pub fn default_upgrader() -> &'static Upgrader {
    static DEFAULT: OnceLock<Upgrader> = OnceLock::new();
    DEFAULT.get_or_init(Upgrader::default)
}

/// A valid request for a WebSocket: the extractor that replaces axum's. See the [module](self).
///
/// A request that is not valid is refused with 400, 405, 426 or 501 and the headers of RFC 6455, one from a foreign web
/// page with 403, and one during a shutdown with 503 ([`BeginError`]).
#[must_use = "the request has no answer yet"]
pub struct WebSocketUpgrade<W = InExtensions> {
    upgrade: Upgrade,
    requested: Vec<HeaderValue>,
    selected: Option<HeaderValue>,
    upgrader: PhantomData<fn() -> W>,
}

impl<W> WebSocketUpgrade<W> {
    fn new(upgrade: Upgrade) -> Self {
        // Subprotocols are tokens, so each is a header value.
        let offered = upgrade.offered_subprotocols().iter();
        let requested = offered.filter_map(|name| HeaderValue::from_str(name).ok()).collect();
        Self { upgrade, requested, selected: None, upgrader: PhantomData }
    }

    /// Sets the subprotocols that the handler knows, the preferred one first. The first one that the client offers is
    /// chosen.
    pub fn protocols<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<std::borrow::Cow<'static, str>>,
    {
        self.upgrade = self.upgrade.protocols(protocols.into_iter().map(|name| name.into().into_owned()));
        let selected = self.upgrade.selected_protocol();
        self.selected = selected.and_then(|name| HeaderValue::from_str(name).ok());
        self
    }

    /// Returns the subprotocols that the client offers, in its order of preference.
    pub fn requested_protocols(&self) -> impl Iterator<Item = &HeaderValue> {
        self.requested.iter()
    }

    /// Returns the subprotocol that was chosen.
    #[must_use]
    pub const fn selected_protocol(&self) -> Option<&HeaderValue> {
        self.selected.as_ref()
    }

    /// Chooses a subprotocol. If the client did not offer it, the request is answered with 500, because the client
    /// would end the connection (RFC 6455 section 4.1).
    pub fn set_selected_protocol(&mut self, protocol: HeaderValue) {
        self.upgrade.select_protocol(String::from_utf8_lossy(protocol.as_bytes()));
        self.selected = Some(protocol);
    }

    /// Sets the maximum payload bytes of a message. Default: that of the upgrader's configuration, 16 MiB if it has
    /// none of its own. A longer message ends the connection with 1009.
    pub fn max_message_size(self, max: usize) -> Self {
        self.configure(|config| config.limits.max_message_size = max)
    }

    /// Sets the maximum payload bytes of a frame. Default: that of the upgrader's configuration, and no limit of its
    /// own if it has none.
    pub fn max_frame_size(self, max: usize) -> Self {
        self.configure(|config| config.limits.max_frame_size = Some(max))
    }

    /// Sets the maximum bytes that wait to be written. At this limit `send` waits. Default: that of the upgrader's
    /// configuration, 1 MiB if it has none of its own.
    pub fn max_write_buffer_size(self, max: usize) -> Self {
        self.configure(|config| config.write_queue_bytes = max)
    }

    /// Changes the configuration for this connection. With a value that is not valid, the request is answered with 500.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        self.upgrade = self.upgrade.configure(change);
        self
    }

    /// Sets a function that is called if the upgrade fails after the request was accepted. By default such errors are
    /// only logged.
    pub fn on_failed_upgrade(mut self, callback: impl FnOnce(UpgradeError) + Send + 'static) -> Self {
        self.upgrade = self.upgrade.on_failed_upgrade(callback);
        self
    }

    /// Returns whether the request came over HTTP/2.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        self.upgrade.is_http2()
    }

    /// Accepts the request, and serves the connection in a task of its own ([`Upgrade::on_upgrade`]). If the response
    /// cannot be sent as the handler wants ([`AnswerError`]), the client gets 500 and the error is logged. After the
    /// begin of a shutdown it gets 503.
    #[must_use = "the handler must return the response"]
    pub fn on_upgrade<F, Fut>(self, serve: F) -> Response
    where
        F: FnOnce(WebSocket<HyperStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.upgrade.on_upgrade(serve).unwrap_or_else(IntoResponse::into_response)
    }

    /// Accepts the request. Returns the response and a future of the WebSocket ([`Upgrade::accept`]).
    ///
    /// # Errors
    /// An [`AnswerError`], which is a response.
    pub fn accept(self) -> Result<Accepted<Body>, AnswerError> {
        self.upgrade.accept()
    }

    /// Refuses the request ([`Upgrade::reject`]).
    #[must_use = "the handler must return the response"]
    pub fn reject(self, rejection: Rejection) -> Response {
        self.upgrade.reject(rejection)
    }

    /// Returns the request as it is without axum.
    pub fn into_inner(self) -> Upgrade {
        self.upgrade
    }
}

impl<W> fmt::Debug for WebSocketUpgrade<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocketUpgrade").field(&self.upgrade).finish()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade<InExtensions> {
    type Rejection = BeginError;

    async fn from_request_parts(head: &mut request::Parts, _state: &S) -> Result<Self, BeginError> {
        let upgrader = head.extensions.get::<Upgrader>().cloned();
        let upgrade = upgrader.as_ref().unwrap_or_else(|| default_upgrader()).begin_parts(head)?;
        Ok(Self::new(upgrade))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade<InState>
where
    Upgrader: FromRef<S>,
{
    type Rejection = BeginError;

    async fn from_request_parts(head: &mut request::Parts, state: &S) -> Result<Self, BeginError> {
        Ok(Self::new(Upgrader::from_ref(state).begin_parts(head)?))
    }
}

#[cfg(feature = "adopt")]
impl<S: Send + Sync> FromRequestParts<S> for crate::adopt::Adoptable {
    type Rejection = BeginError;

    async fn from_request_parts(head: &mut request::Parts, _state: &S) -> Result<Self, BeginError> {
        Self::copy_of(head)
    }
}

impl IntoResponse for BeginError {
    fn into_response(self) -> Response {
        Self::into_response(self)
    }
}

impl IntoResponse for AnswerError {
    fn into_response(self) -> Response {
        if !matches!(self, Self::ShuttingDown) {
            tracing::error!(
                error = &self as &dyn std::error::Error,
                "a WebSocket request is answered with 500"
            );
        }
        Self::into_response(self)
    }
}
