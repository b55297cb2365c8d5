//! A request for a WebSocket, from its check to the running connection.

use std::{
    fmt,
    future::{Future, Ready, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::{runtime::Handle, time::Sleep};
use ws_proto::{
    Config, Connection, ValidConfig,
    error::ConfigError,
    handshake::{Extensions, Rejection, ResponseParts, ServerHandshake},
};
use ws_tokio::{
    WebSocket,
    internal::{ServerHalf, guarded},
};

use crate::{
    error::{AnswerError, UpgradeError, response},
    runtime::timer,
    stream::HyperStream,
    task::{ConnectionTask, open_and_serve},
    tracker::{Phase, PolledBy, Tracked, Tracker},
};

type OnFailedUpgrade = Box<dyn FnOnce(UpgradeError) + Send>;

/// A valid request for a WebSocket that is not answered yet, from [`Upgrader::begin`](crate::Upgrader::begin).
///
/// Dropping it gives up the upgrade; any other response can still be sent.
#[must_use = "the request has no answer yet"]
pub struct Upgrade {
    handshake: ServerHandshake,
    on_upgrade: OnUpgrade,
    config: Result<ValidConfig, ConfigError>,
    parts: ResponseParts,
    timeout: Duration,
    on_failed_upgrade: Option<OnFailedUpgrade>,
    tracker: Arc<Tracker>,
}

/// The answer to a request, and the WebSocket to come, from [`Upgrade::accept`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted<B> {
    /// The response. Return it from hyper's service unchanged; the upgrade begins when hyper has written it.
    pub response: Response<B>,
    /// The WebSocket, once the upgrade is complete. Await it in another task than that of the service, because hyper
    /// writes the response only after the service has returned.
    pub socket: Upgrading,
}

impl Upgrade {
    pub(crate) fn new(
        handshake: ServerHandshake,
        on_upgrade: OnUpgrade,
        config: ValidConfig,
        timeout: Duration,
        tracker: Arc<Tracker>,
    ) -> Self {
        let (parts, on_failed_upgrade) = (ResponseParts::default(), None);
        Self { handshake, on_upgrade, config: Ok(config), parts, timeout, on_failed_upgrade, tracker }
    }

    /// Returns whether the request is an extended CONNECT of HTTP/2 (RFC 8441).
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        self.handshake.is_extended_connect()
    }

    /// Returns the subprotocols that the client offers, in its order of preference.
    #[must_use]
    pub fn offered_subprotocols(&self) -> &[String] {
        self.handshake.offered_subprotocols()
    }

    /// Chooses the first of these subprotocols that the client offers. If it offers none of them, the response names
    /// none, and the client decides whether to continue.
    pub fn protocols<I>(mut self, protocols: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut protocols = protocols.into_iter().map(Into::into);
        self.parts.subprotocol = protocols.find(|name| self.offered_subprotocols().contains(name));
        self
    }

    /// Chooses a subprotocol. If the client did not offer it, the request is answered with 500.
    pub fn select_protocol(&mut self, protocol: impl Into<String>) {
        self.parts.subprotocol = Some(protocol.into());
    }

    /// Returns the subprotocol that was chosen.
    #[must_use]
    pub fn selected_protocol(&self) -> Option<&str> {
        self.parts.subprotocol.as_deref()
    }

    /// Adds a header to the response, such as `Set-Cookie`. With a header that belongs to the handshake, the request is
    /// answered with 500.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.parts.headers.append(name, value);
        self
    }

    /// Changes the configuration for this connection. It still shares the memory budget and the codecs of the others.
    /// With a value that is not valid, the request is answered with 500.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        self.config = self.config.and_then(|config| config.derive(change));
        self
    }

    /// Sets a function that is called if the request is accepted and the upgrade fails afterwards. By default such
    /// errors are only logged. It is not called for [`accept`](Self::accept), whose future returns the error.
    pub fn on_failed_upgrade(mut self, callback: impl FnOnce(UpgradeError) + Send + 'static) -> Self {
        self.on_failed_upgrade = Some(Box::new(callback));
        self
    }

    /// Accepts the request, and serves the connection in a task of its own. Returns the response, which hyper's service
    /// must return.
    ///
    /// As in a server of `ws-server`, the task answers pings and watches the deadlines while `serve` waits for
    /// something other than the connection. The connection closes with 1000 when the future ends, and with 1011 when it
    /// panics.
    ///
    /// # Errors
    /// An [`AnswerError`], which has the response to the request.
    pub fn on_upgrade<B, F, Fut>(self, serve: F) -> Result<Response<B>, AnswerError>
    where
        B: Default,
        F: FnOnce(WebSocket<HyperStream>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Answer { response, mut pending, runtime, on_failed_upgrade } = self.answer(PolledBy::Adapter)?;
        let opening = async move {
            match poll_fn(|cx| pending.poll(cx)).await {
                Ok(Opened { half, ws, tracked }) => {
                    let application = guarded(|| serve(ws));
                    if application.is_err() {
                        tracing::error!(
                            "a connection's function panicked; its connection is closed with 1011"
                        );
                    }
                    Some(ConnectionTask::new(half, application.ok(), tracked))
                }
                Err(error) => {
                    fail(error, on_failed_upgrade);
                    None
                }
            }
        };
        runtime.spawn(open_and_serve(Box::pin(opening)));
        Ok(response)
    }

    /// Accepts the request. Returns the response and a future of the WebSocket, for connections that another task than
    /// one of their own serves.
    ///
    /// A task of the adapter moves the bytes, so the connection answers pings and closes at a shutdown by itself. It
    /// closes with 1000 when the `WebSocket` is dropped, and with 1011 when a panic drops it.
    ///
    /// # Errors
    /// An [`AnswerError`], which has the response to the request.
    pub fn accept<B: Default>(self) -> Result<Accepted<B>, AnswerError> {
        let Answer { response, pending, runtime, .. } = self.answer(PolledBy::Application)?;
        Ok(Accepted { response, socket: Upgrading { pending, runtime } })
    }

    /// Refuses the request. Over HTTP/1.1 the response closes the connection, so that no proxy takes later bytes for
    /// another request.
    #[must_use = "the response must be returned from hyper's service"]
    pub fn reject<B: From<Bytes>>(self, rejection: Rejection) -> Response<B> {
        response(rejection, if self.is_http2() { Version::HTTP_2 } else { Version::HTTP_11 })
    }

    fn answer<B: Default>(self, polled_by: PolledBy) -> Result<Answer<B>, AnswerError> {
        let Self { mut handshake, on_upgrade, config, parts, timeout, on_failed_upgrade, tracker } = self;
        let config = config?;
        let extensions = handshake.negotiate(&config);
        let response = handshake.response(&parts)?.map(|()| B::default());
        let (runtime, deadline) = timer(timeout).ok_or(AnswerError::NoRuntime)?;
        let (is_http2, subprotocol) = (handshake.is_extended_connect(), parts.subprotocol);
        let tracked = Some(tracker.track(polled_by).ok_or(AnswerError::ShuttingDown)?);
        let pending = Pending { on_upgrade, deadline, is_http2, config, extensions, subprotocol, tracked };
        Ok(Answer { response, pending, runtime, on_failed_upgrade })
    }
}

/// Omits the values of headers, because they may contain credentials.
impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("is_http2", &self.is_http2()).finish_non_exhaustive()
    }
}

struct Answer<B> {
    response: Response<B>,
    pending: Pending,
    runtime: Handle,
    on_failed_upgrade: Option<OnFailedUpgrade>,
}

fn fail(error: UpgradeError, on_failed_upgrade: Option<OnFailedUpgrade>) {
    tracing::debug!(%error, "an upgrade failed");
    let called = guarded(|| on_failed_upgrade.map(|callback| callback(error)));
    if called.is_err() {
        tracing::error!("the function for a failed upgrade panicked");
    }
}

/// The WebSocket of a request that was accepted, once hyper has written the response.
///
/// Poll it soon: the [`upgrade_timeout`](crate::Upgrader::upgrade_timeout) is checked when it is polled, and no task of
/// the adapter does that. While the application keeps it and does not poll it, the upgraded connection stays open. No
/// deadline ends it, and the pings of the client are not answered.
///
/// # Cancel safety
/// All state is in this value, so it can be polled by reference, as `select!` does. Dropping it before it is ready
/// closes the connection without a Close frame.
#[must_use = "futures do nothing unless polled"]
pub struct Upgrading {
    pending: Pending,
    runtime: Handle,
}

impl Future for Upgrading {
    type Output = Result<WebSocket<HyperStream>, UpgradeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Opened { half, ws, tracked } = ready!(self.pending.poll(cx))?;
        tracked.pass_to_adapter();
        self.runtime.spawn(ConnectionTask::new(half, None::<Ready<()>>, tracked));
        Poll::Ready(Ok(ws))
    }
}

impl fmt::Debug for Upgrading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrading").field("is_http2", &self.pending.is_http2).finish_non_exhaustive()
    }
}

/// A request that was accepted. Its response may not be written yet.
struct Pending {
    on_upgrade: OnUpgrade,
    deadline: Pin<Box<Sleep>>,
    is_http2: bool,
    config: ValidConfig,
    extensions: Extensions,
    subprotocol: Option<String>,
    /// `None` once the future has returned.
    tracked: Option<Tracked>,
}

/// A connection that was taken over from hyper.
struct Opened {
    half: ServerHalf<HyperStream>,
    ws: WebSocket<HyperStream>,
    tracked: Tracked,
}

impl Pending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Opened, UpgradeError>> {
        // A future that has returned is not polled again.
        let Some(tracked) = &self.tracked else { return Poll::Pending };
        tracked.set_waker(cx.waker());
        let upgraded = if tracked.phase() == Phase::Forcing {
            Err(UpgradeError::ShutDown)
        } else if let Poll::Ready(upgraded) = Pin::new(&mut self.on_upgrade).poll(cx) {
            upgraded.map_err(UpgradeError::Hyper)
        } else {
            ready!(self.deadline.as_mut().poll(cx));
            Err(UpgradeError::TimedOut)
        };
        let Some(tracked) = self.tracked.take() else { return Poll::Pending };
        Poll::Ready(upgraded.map(|upgraded| self.open(upgraded, tracked)))
    }

    fn open(&mut self, upgraded: Upgraded, tracked: Tracked) -> Opened {
        let (io, received) = HyperStream::new(upgraded, self.is_http2);
        let now = tokio::time::Instant::now().into_std();
        let connection = Connection::server(self.config.clone(), now);
        let connection = connection.with_extensions(std::mem::take(&mut self.extensions));
        let is_tcp = io.tcp().is_some();
        // The transports inside hyper are not known.
        let (half, ws) = ServerHalf::with_trust(io, connection, &received, is_tcp);
        #[cfg(target_os = "linux")]
        let ws = if is_tcp { ws.with_send_queue(HyperStream::send_queue) } else { ws };
        Opened { half, ws: ws.with_subprotocol(self.subprotocol.take()), tracked }
    }
}
