//! What all connections of a server share.

use std::{sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, Request, Uri, Version, request};
use hyper::upgrade::OnUpgrade;
use ws_proto::{
    ValidConfig,
    handshake::{OriginPolicy, RequestError, ServerHandshake, TransportSecurity},
};
use ws_tokio::{Shutdown, ShutdownParts, internal::guarded};

use crate::{
    error::{BeginError, BeginErrorKind},
    tracker::{Phase, ShutdownReport, Tracker},
    upgrade::Upgrade,
};

/// Turns requests into WebSockets, with one configuration, one Origin policy and one graceful shutdown for all of them.
///
/// Build one per server and clone it; clones share the connections. With axum, put it into the router's state or into
/// an `Extension`.
#[derive(Debug, Clone)]
pub struct Upgrader {
    settings: Settings,
    tracker: Arc<Tracker>,
}

#[derive(Debug, Clone)]
struct Settings {
    config: ValidConfig,
    origin: Arc<OriginPolicy>,
    security: TransportSecurity,
    upgrade_timeout: Duration,
}

/// The default [`Config`](ws_proto::Config), the same-host policy.
impl Default for Upgrader {
    fn default() -> Self {
        Self::new(ValidConfig::default())
    }
}

impl Upgrader {
    /// Creates an upgrader whose connections have this configuration
    /// ([`Config::validate`](ws_proto::Config::validate)).
    #[must_use]
    pub fn new(config: ValidConfig) -> Self {
        let settings = Settings {
            config,
            origin: Arc::new(OriginPolicy::SameHost),
            security: TransportSecurity::Plain,
            upgrade_timeout: Duration::from_secs(10),
        };
        Self { settings, tracker: Tracker::new() }
    }

    /// Sets which web pages may connect (RFC 6455 section 10.2). Default: those of the same host.
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.settings.origin = Arc::new(policy);
        self
    }

    /// Sets whether the server's connections use TLS. With TLS, the same-host policy accepts `https` origins only;
    /// without it, both `http` and `https`. Default: no.
    #[must_use]
    pub const fn over_tls(mut self, yes: bool) -> Self {
        self.settings.security = if yes { TransportSecurity::Tls } else { TransportSecurity::Plain };
        self
    }

    /// Sets how long an upgrade may take, from the answer to its request until hyper has written the answer. Default:
    /// 10 s.
    #[must_use]
    pub const fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.settings.upgrade_timeout = timeout;
        self
    }

    /// Checks a request and takes its upgrade out of it. The result waits for an answer:
    /// [`on_upgrade`](Upgrade::on_upgrade), [`accept`](Upgrade::accept) or [`reject`](Upgrade::reject).
    ///
    /// # Errors
    /// A [`BeginError`], which has the response to the request.
    pub fn begin<B>(&self, request: &mut Request<B>) -> Result<Upgrade, BeginError> {
        let handshake = ServerHandshake::from_request(request, protocol(request.extensions()));
        let checked = self.check(handshake, request.headers(), request.uri());
        let version = request.version();
        self.take(checked, version, request.extensions_mut())
    }

    /// Checks the head of a request, as [`begin`](Self::begin) does.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_parts(&self, head: &mut request::Parts) -> Result<Upgrade, BeginError> {
        let handshake = ServerHandshake::from_parts(head, protocol(&head.extensions));
        let checked = self.check(handshake, &head.headers, &head.uri);
        self.take(checked, head.version, &mut head.extensions)
    }

    fn check(
        &self,
        handshake: Result<ServerHandshake, RequestError>,
        headers: &HeaderMap,
        target: &Uri,
    ) -> Result<ServerHandshake, BeginErrorKind> {
        let handshake = handshake.map_err(BeginErrorKind::Request)?;
        match guarded(|| self.settings.origin.allows(headers, target, self.settings.security)) {
            Ok(true) => {}
            Ok(false) => return Err(BeginErrorKind::Origin),
            Err(_panicked) => return Err(BeginErrorKind::Panicked),
        }
        if self.tracker.phase() == Phase::Running { Ok(handshake) } else { Err(BeginErrorKind::ShuttingDown) }
    }

    fn take(
        &self,
        checked: Result<ServerHandshake, BeginErrorKind>,
        version: Version,
        extensions: &mut Extensions,
    ) -> Result<Upgrade, BeginError> {
        let begun = checked.and_then(|handshake| {
            let on_upgrade = extensions.remove::<OnUpgrade>().ok_or(BeginErrorKind::NotUpgradable)?;
            let (config, timeout) = (self.settings.config.clone(), self.settings.upgrade_timeout);
            Ok(Upgrade::new(handshake, on_upgrade, config, timeout, Arc::clone(&self.tracker)))
        });
        begun.map_err(|kind| BeginError::new(kind, version))
    }

    /// Shuts all connections down, as [`shutdown_with`](Self::shutdown_with) does, at once and with a Close 1001 (going
    /// away).
    ///
    /// # Cancel safety
    /// As [`shutdown_with`](Self::shutdown_with).
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.shutdown_with(Shutdown::new().grace(grace)).await
    }

    /// Shuts all connections down and waits until they have ended, as the settings say.
    ///
    /// 1. [`is_draining`](Self::is_draining) is true, for health checks. Requests are still accepted for
    ///    [`ready_delay`](Shutdown::ready_delay).
    /// 2. From then on, requests are answered with 503, also those that were begun and not accepted yet
    ///    ([`AnswerError::ShuttingDown`](crate::error::AnswerError::ShuttingDown)). An upgrade that is under way is
    ///    completed first.
    /// 3. Connections get a Close with the code and the reason, evenly over [`spread`](Shutdown::spread).
    /// 4. They have [`grace`](Shutdown::grace) to finish the closing handshake. Connections that are left after that are
    ///    cut off. An [`Upgrading`](crate::Upgrading) that is left fails when the application polls it, and is not
    ///    waited for.
    ///
    /// In a second call, only the `grace` counts, from the call on.
    ///
    /// This concerns WebSockets only: shut the HTTP server down as well. Over HTTP/2 its connections end with their
    /// last stream.
    ///
    /// # Cancel safety
    /// The shutdown has begun after the first poll. If the future is dropped then, delay and spread are over: each
    /// connection gets its Close at once. It still has its `close_timeout`, and none is cut off at the end of `grace`.
    pub async fn shutdown_with(&self, settings: Shutdown) -> ShutdownReport {
        let is_first = self.tracker.begin_draining();
        let ending = async {
            if is_first {
                self.close_connections(&settings).await;
            }
            tokio::time::sleep(settings.parts().grace).await;
        };
        let forced = tokio::select! {
            biased;
            () = self.tracker.wait_empty() => false,
            () = ending => true,
        };
        if forced {
            self.tracker.force();
            self.tracker.wait_empty().await;
        }
        self.tracker.report(forced)
    }

    async fn close_connections(&self, settings: &Shutdown) {
        /// Ends the delay and the spread, also when it is dropped.
        struct Release<'a>(&'a Tracker, ShutdownParts<'a>);
        impl Drop for Release<'_> {
            fn drop(&mut self) {
                self.0.drain(self.1.code, self.1.reason);
                self.0.release_all();
            }
        }
        let parts = settings.parts();
        let release = Release(&self.tracker, parts);
        if !parts.ready_delay.is_zero() {
            tokio::time::sleep(parts.ready_delay).await;
        }
        self.tracker.drain(parts.code, parts.reason);
        self.tracker.release_evenly(parts.spread).await;
        drop(release);
    }

    /// Whether a shutdown has begun: the server should get no more connections. It may still accept some for
    /// [`Shutdown::ready_delay`]. For health checks.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.tracker.is_draining()
    }

    /// Returns how many connections are open, closing, or being upgraded.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.tracker.connections()
    }

    /// Returns the configuration of the connections.
    #[must_use]
    pub const fn config(&self) -> &ValidConfig {
        &self.settings.config
    }
}

/// The `:protocol` of an extended CONNECT (RFC 8441 section 4).
#[cfg(feature = "http2")]
pub(crate) fn protocol(extensions: &Extensions) -> Option<&str> {
    extensions.get::<hyper::ext::Protocol>().map(hyper::ext::Protocol::as_str)
}

#[cfg(not(feature = "http2"))]
pub(crate) const fn protocol(_extensions: &Extensions) -> Option<&str> {
    None
}
