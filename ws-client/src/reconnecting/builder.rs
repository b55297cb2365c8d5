//! The settings of a client.

use std::{fmt, sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    attempt::{BoxFuture, Dial, Setup, dial_with},
    backoff::{Backoff, Jitter},
    cause::{BoxError, Cause},
    client::{Parts, Reconnecting},
    decision::Decision,
    queue::WhileAway,
    request::Attempt,
    schedule::{GiveUp, Schedule, ScheduleOptions},
};
use crate::{ClientStream, Connector, IntoClientRequest, WebSocket};

impl Reconnecting {
    /// Starts with default settings and a fixed URL.
    pub fn to(url: impl Into<String>) -> Builder {
        let url = url.into();
        Self::builder(Connector::new(), move |_| std::future::ready(Ok(url.clone())))
    }

    /// Starts with default settings, a connector, and a request hook. The hook runs once per attempt and returns what
    /// [`Connector::connect`] takes: a URL, an [`http::Request`], or a [`Request`](super::Request) whose headers and
    /// subprotocols are added to those of the connector. It can get a new token or choose another server. Its error
    /// counts as a failed attempt.
    pub fn builder<F, Fut, R>(connector: Connector, request: F) -> Builder
    where
        F: FnMut(Attempt) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, BoxError>> + Send + 'static,
        R: IntoClientRequest + 'static,
    {
        Builder::new(dial_with(connector, request))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Reconnecting<S> {
    /// Starts with default settings and a function that opens connections, such as one that uses
    /// [`Connector::connect_on`] on a transport of its own. It is called once per attempt.
    pub fn dialling<F, Fut>(mut dial: F) -> Builder<S>
    where
        F: FnMut(Attempt) -> Fut + Send + 'static,
        Fut: Future<Output = Result<WebSocket<S>, Cause>> + Send + 'static,
    {
        Builder::new(Box::new(move |attempt| Box::pin(dial(attempt))))
    }
}

/// The settings of a [`Reconnecting`] client.
#[must_use]
pub struct Builder<S = ClientStream> {
    dial: Dial<S>,
    setup: Option<Setup<S>>,
    retry_if: Box<dyn FnMut(&Cause) -> Decision + Send>,
    schedule: ScheduleOptions,
    attempt_timeout: Duration,
    max_lifetime: Option<Duration>,
    while_away: WhileAway,
    seed: Option<[u8; 32]>,
}

/// Omits the hooks and the seed.
impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("schedule", &self.schedule)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("max_lifetime", &self.max_lifetime)
            .field("while_away", &self.while_away)
            .finish_non_exhaustive()
    }
}

impl<S> Builder<S> {
    fn new(dial: Dial<S>) -> Self {
        Self {
            dial,
            setup: None,
            retry_if: Box::new(Cause::default_decision),
            schedule: ScheduleOptions {
                backoff: Backoff::default(),
                healthy_after: Duration::from_secs(10),
                give_up: GiveUp::Never,
                max_retry_after: Duration::from_secs(600),
            },
            attempt_timeout: Duration::from_secs(30),
            max_lifetime: None,
            while_away: WhileAway::Fail,
            seed: None,
        }
    }

    /// Sets the delays between attempts. Default: full jitter from 0.5 s to 30 s.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.schedule.backoff = backoff;
        self
    }

    /// Sets how long a connection must serve until it counts as healthy. The end of a healthy connection resets the
    /// back-off. A connection that ends sooner counts as a failed attempt, so a server that accepts and drops is
    /// not hammered. Default: 10 s.
    pub const fn healthy_after(mut self, time: Duration) -> Self {
        self.schedule.healthy_after = time;
        self
    }

    /// Sets when the client stops trying. Default: never.
    pub const fn give_up(mut self, give_up: GiveUp) -> Self {
        self.schedule.give_up = give_up;
        self
    }

    /// Sets the longest `Retry-After` that is respected. A longer one counts as this. Default: 10 minutes.
    pub const fn max_retry_after(mut self, max: Duration) -> Self {
        self.schedule.max_retry_after = max;
        self
    }

    /// Sets the limit for an attempt as a whole, with the hooks before and after it. The connector's
    /// [`handshake_timeout`](Connector::handshake_timeout) applies too. Default: 30 s.
    pub const fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = limit;
        self
    }

    /// Sets the maximal lifetime of a connection, for servers that end connections after a day, or to spread clients
    /// over servers again. The connection is closed with 1000 after nine tenths of it at the earliest: the time is
    /// random, so that clients that connected together do not reconnect together. The next attempt begins when it is
    /// closed. Default: `None`.
    pub fn max_lifetime(mut self, max: impl Into<Option<Duration>>) -> Self {
        self.max_lifetime = max.into();
        self
    }

    /// Sets the function that decides what to do after a failure. Default: [`Cause::default_decision`].
    pub fn retry_if(mut self, decide: impl FnMut(&Cause) -> Decision + Send + 'static) -> Self {
        self.retry_if = Box::new(decide);
        self
    }

    /// Sets the hook for new connections, which can authenticate and subscribe. Nothing else is sent on the connection
    /// until it has returned. It gets the connection's number too. Messages that it receives are not reported as
    /// events. If it fails, the connection is dropped, and the attempt has failed.
    ///
    /// ```
    /// # use ws_client::Reconnecting;
    /// let client = Reconnecting::to("wss://feed.example/").on_connected(|ws, _connection| {
    ///     Box::pin(async move {
    ///         ws.send(r#"{"subscribe":"trades"}"#).await?;
    ///         Ok(())
    ///     })
    /// });
    /// ```
    pub fn on_connected<F>(mut self, setup: F) -> Self
    where
        F: for<'a> Fn(&'a mut WebSocket<S>, u64) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        self.setup = Some(Arc::new(setup));
        self
    }

    /// Sets what happens to messages that are sent while there is no connection. Default: [`WhileAway::Fail`].
    pub const fn while_away(mut self, while_away: WhileAway) -> Self {
        self.while_away = while_away;
        self
    }

    /// Seeds the jitter, for reproducible tests. Default: a seed from the operating system.
    pub const fn jitter_seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Builder<S> {
    /// Builds the client. The first attempt begins when it is polled.
    #[must_use]
    pub fn build(self) -> Reconnecting<S> {
        let jitter = self.seed.map_or_else(Jitter::from_os, Jitter::from_seed);
        Reconnecting::from_parts(
            Parts {
                dial: self.dial,
                setup: self.setup,
                retry_if: self.retry_if,
                schedule: Schedule::new(self.schedule, jitter),
                attempt_timeout: self.attempt_timeout,
                max_lifetime: self.max_lifetime,
            },
            self.while_away,
        )
    }
}
