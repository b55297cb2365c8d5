//! The settings of a connector, and their setters.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use ws_proto::{Config, Keepalive, error::ConfigError};

use super::Connector;
use crate::{
    dial::{Dialler, Resolver},
    error::{ConnectError, HeaderError},
    proxy::Proxy,
    refusal::header_names,
    request::{RequestOptions, header_name, parse_header},
    response::client_limits,
};

/// The most redirects that an attempt may follow.
const MOST_REDIRECTS: u8 = 5;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) protocol: Config,
    pub(super) request_options: RequestOptions,
    pub(super) safe_headers: Vec<HeaderName>,
    /// The first header that is not valid.
    bad_header: Option<HeaderError>,
    pub(super) handshake_timeout: Duration,
    pub(super) redirects: u8,
    pub(super) dialler: Dialler,
    pub(super) mask_seed: Option<[u8; 32]>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("protocol", &self.protocol)
            .field("headers", &header_names(&self.request_options.headers))
            .field("safe_headers", &self.safe_headers)
            .field("bad_header", &self.bad_header)
            .field("subprotocols", &self.request_options.subprotocols.len())
            .field("handshake_timeout", &self.handshake_timeout)
            .field("redirects", &self.redirects)
            .field("dialler", &self.dialler)
            .field("has_mask_seed", &self.mask_seed.is_some())
            .finish()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let mut protocol = Config::default();
        protocol.limits = client_limits();
        Self {
            protocol,
            request_options: RequestOptions::default(),
            safe_headers: Vec::new(),
            bad_header: None,
            handshake_timeout: Duration::from_secs(10),
            redirects: 0,
            dialler: Dialler::default(),
            mask_seed: None,
        }
    }
}

impl Settings {
    /// Checks the settings that are not part of the protocol's configuration.
    pub(super) fn check(&self) -> Result<(), ConnectError> {
        if let Some(error) = &self.bad_header {
            return Err(error.clone().into());
        }
        let bad = |option, value: String, expected| Err(ConfigError::new(option, value, expected).into());
        if self.handshake_timeout.is_zero() {
            return bad("handshake_timeout", "0ns".to_owned(), "must be longer than zero");
        }
        if self.redirects > MOST_REDIRECTS {
            return bad("redirects", self.redirects.to_string(), "must be at most 5");
        }
        Ok(())
    }

    /// The value, or `None` after a note of the error for [`check`](Self::check).
    fn valid<T>(&mut self, header: Result<T, HeaderError>) -> Option<T> {
        header.map_err(|error| self.bad_header.get_or_insert(error)).ok()
    }
}

impl Connector {
    /// The default settings: messages of at most 16 MiB, a response head of at most 64 KiB and 256 lines, a
    /// handshake timeout of 10 s, and a keepalive ping after 30 s of silence.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Adds a header to the requests: `header("authorization", "Bearer token")`. The name is a `&str`, a
    /// `String` or a [`HeaderName`], the value anything that converts into a [`HeaderValue`].
    ///
    /// An invalid name or value makes [`connect`](Self::connect) fail with [`ConnectError::Header`], which
    /// has the name and never the value. Headers of the opening handshake itself make it fail with
    /// [`ConnectError::Request`], and so does `Host`: a connector is for any number of servers. An
    /// [`http::Request`] sets the `Host` of one connection.
    pub fn header(self, name: impl AsRef<str>, value: impl TryInto<HeaderValue>) -> Self {
        let header = parse_header(name, value);
        self.with(|settings| {
            if let Some((name, value)) = settings.valid(header) {
                settings.request_options.headers.append(name, value);
            }
        })
    }

    /// Offers a subprotocol. Offers are sent in order of preference, the first one most preferred. A response
    /// that selects a subprotocol that was not offered is an error.
    /// [`WebSocket::subprotocol`](ws_tokio::WebSocket::subprotocol) returns the server's choice.
    pub fn subprotocol(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.request_options.subprotocols.push(name.into()))
    }

    /// Sets the largest payload of a received message, in bytes. Default: 16 MiB.
    pub fn max_message_size(self, bytes: usize) -> Self {
        self.with(|settings| settings.protocol.limits.max_message_size = bytes)
    }

    /// Sets the timeout for a whole attempt: name resolution, connection, proxy, TLS, request, response and
    /// redirects. Default: 10 s.
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.handshake_timeout = timeout)
    }

    /// Sets the timeout for closing. It starts when this side's Close frame has been written, or with a
    /// failure of the connection. Messages that were accepted before the Close are sent first, governed by
    /// [`write_timeout`](Self::write_timeout). Default: 5 s.
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.protocol.close_timeout = timeout)
    }

    /// Closes the connection with 1001 when nothing was sent or received for this time. Keepalive traffic
    /// does not count. Default: `None`, no limit.
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|settings| settings.protocol.idle_timeout = timeout.into())
    }

    /// Sets the keepalive, which detects a server that no longer responds. `None` turns it off. Default: a
    /// ping after 30 s of silence, and the connection ends if there is still silence 30 s later.
    pub fn keepalive(self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.with(|settings| settings.protocol.keepalive = keepalive.into())
    }

    /// Sets whether the connection counts what it receives and sends, and measures the round-trip time with the
    /// pings of [`keepalive`](Self::keepalive): [`WebSocket::stats`](crate::WebSocket::stats). It takes about
    /// 600 bytes per connection. Default: no.
    pub fn statistics(self, on: bool) -> Self {
        self.with(|settings| settings.protocol.statistics = on)
    }

    /// Sets how many of its latest events the connection records, from 1 to 65,536, to find out why it closed:
    /// [`CloseInfo::recording`](ws_proto::CloseInfo::recording). An event takes 16 bytes. Default: `None`,
    /// off.
    pub fn recorder(self, events: impl Into<Option<usize>>) -> Self {
        self.with(|settings| settings.protocol.recorder = events.into())
    }

    /// Ends the connection if the server takes nothing of what waits to be written for this time, also while
    /// the connection is closing. `None` is no limit. Default: 60 s.
    ///
    /// A server that reads slowly is not affected: on Linux every byte that it acknowledges counts. The end
    /// may come later by a sixteenth of the time.
    pub fn write_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|settings| settings.protocol.write_timeout = timeout.into())
    }

    /// Ends the connection with 1008 if a message is not complete within this time after its first byte.
    /// `None` is no limit. Default: 2 minutes.
    pub fn message_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|settings| settings.protocol.message_timeout = timeout.into())
    }

    /// Sets the most messages that wait to be written, at least 1. Beyond it, sends return `Full` or wait.
    /// Default: 65,536.
    pub fn write_queue_messages(self, messages: usize) -> Self {
        self.with(|settings| settings.protocol.write_queue_messages = messages)
    }

    /// Sets the most bytes that wait to be written. Beyond it, sends return `Full` or wait. A message counts
    /// its payload and up to 64 bytes more. A single message may be larger if no other message waits.
    /// Default: 1 MiB.
    pub fn write_queue_bytes(self, bytes: usize) -> Self {
        self.with(|settings| settings.protocol.write_queue_bytes = bytes)
    }

    /// Sets whether received text is checked to be valid UTF-8 (RFC 6455 section 8.1). Default: yes.
    pub fn validate_utf8(self, validate: bool) -> Self {
        self.with(|settings| settings.protocol.validate_utf8 = validate)
    }

    /// Offers permessage-deflate (RFC 7692), for example with `DeflateConfig::client()`. Default: `None`.
    #[cfg(feature = "deflate")]
    pub fn deflate(self, deflate: impl Into<Option<ws_proto::deflate::DeflateConfig>>) -> Self {
        self.with(|settings| settings.protocol.deflate = deflate.into())
    }

    /// Changes protocol settings that have no method here, such as [`auto_pong`](Config::auto_pong) and the
    /// [`limits`](Config::limits).
    pub fn protocol(self, change: impl FnOnce(&mut Config)) -> Self {
        self.with(|settings| change(&mut settings.protocol))
    }

    /// Sets `TCP_NODELAY`. Default: on.
    pub fn tcp_nodelay(self, on: bool) -> Self {
        self.with(|settings| settings.dialler.nodelay = on)
    }

    /// Sets how many redirects an attempt follows, at most 5. A redirect from `wss` to `ws` is never
    /// followed.
    ///
    /// After a redirect to another origin (scheme, host and port), requests omit the caller's subprotocols
    /// and headers, except for headers that are [marked as safe](Self::carry_to_other_origins). Default: 0,
    /// so that a redirect is a [`ConnectError::Refused`].
    pub fn redirects(self, max: u8) -> Self {
        self.with(|settings| settings.redirects = max)
    }

    /// Marks the headers of this name as safe to send to another origin after a redirect. `Authorization`,
    /// `Cookie` and `Proxy-Authorization` are never sent there, even if they are marked. Default: no header
    /// is safe.
    pub fn carry_to_other_origins(self, name: impl AsRef<str>) -> Self {
        let name = header_name(name.as_ref());
        self.with(|settings| {
            if let Some(name) = settings.valid(name) {
                settings.safe_headers.push(name);
            }
        })
    }

    /// Sets the proxy. Default: [`Proxy::Environment`].
    pub fn proxy(self, proxy: Proxy) -> Self {
        self.with(|settings| settings.dialler.proxy = proxy)
    }

    /// Sets a resolver that replaces the operating system's. `resolve` is called with a host and a port. The
    /// host may also be an address. An IPv6 address with a zone is followed by `%` and the zone.
    pub fn resolver<F, Fut>(self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.with(|settings| settings.dialler.resolver = Resolver::new(resolve))
    }

    /// Sets the TLS settings for `wss`. Default: [`Tls::shared`](crate::Tls::shared).
    #[cfg(feature = "tls-core")]
    pub fn tls(self, tls: crate::Tls) -> Self {
        self.with(|settings| settings.dialler.tls = Some(tls))
    }

    /// Sets the TLS settings for `https` proxies. Default: the same as for servers, including the client
    /// certificate.
    #[cfg(feature = "tls-core")]
    pub fn proxy_tls(self, tls: crate::Tls) -> Self {
        self.with(|settings| settings.dialler.proxy_tls = Some(tls))
    }

    /// Seeds the mask keys and the nonce, for reproducible tests. Never use the same seed for connections
    /// whose peers do not trust each other. Default: a new seed from the operating system for each
    /// connection.
    pub fn mask_seed(self, seed: [u8; 32]) -> Self {
        self.with(|settings| settings.mask_seed = Some(seed))
    }
}
