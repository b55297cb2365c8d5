use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::net::ToSocketAddrs;
use ws_proto::{
    Config, Keepalive,
    handshake::{OriginPolicy, Rejection},
    memory::BufferPoolConfig,
};

use crate::{
    admission::request::Request,
    options::{Memory, Options},
    server::Server,
};

mod network;
mod observation;
mod start;
mod topics;

/// Settings of a [`Server`]. Sizes are in bytes.
///
/// A limit that can be absent is an [`Option`]: `.max_connections(1000)` sets it, `.max_connections(None)` removes it.
///
/// The methods do not check their values; [`bind`](Self::bind), [`bind_unix`](Self::bind_unix),
/// [`listener`](Self::listener) and [`without_listener`](Self::without_listener) return an error that names a bad
/// setting and its value.
#[derive(Clone, Default)]
#[must_use]
pub struct ServerBuilder {
    options: Options,
}

impl ServerBuilder {
    /// The longest payload of a message. Default 16 MiB.
    pub const fn max_message_size(mut self, bytes: usize) -> Self {
        self.options.protocol.limits.max_message_size = bytes;
        self
    }

    /// The most connections at a time. Further requests are answered with 503,
    /// before the application is asked. Default: `None`, no limit.
    pub fn max_connections(mut self, count: impl Into<Option<usize>>) -> Self {
        self.options.max_connections = count.into();
        self
    }

    /// The most connections from one address, and as many handshakes. Further requests are answered with 429; with TLS,
    /// further handshakes are closed without an answer. An IPv6 network of 64 bits counts as one address.
    ///
    /// Default: `None`, no limit, because behind a proxy all users have the same address, unless
    /// [`proxy_protocol`](Self::proxy_protocol) or [`forwarded`](Self::forwarded) names it.
    pub fn max_connections_per_address(mut self, count: impl Into<Option<usize>>) -> Self {
        self.options.max_per_address = count.into();
        self
    }

    /// The most bytes that all connections hold together ([`MemoryBudget`](ws_proto::memory::MemoryBudget)): messages
    /// that are being received, are held or are being inflated, and what waits to be written. At least eight messages
    /// of the longest size.
    ///
    /// Beyond the budget a message that grows ends its connection with 1013, and sends return `Full` or wait.
    /// Default 1 GiB, or eight messages of [`max_message_size`](Self::max_message_size) if that is more. `None` is no
    /// limit.
    pub fn memory_budget(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.options.memory = match bytes.into() {
            Some(bytes) => Memory::Bytes(bytes),
            None => Memory::Unlimited,
        };
        self
    }

    /// The most handshakes at a time. Further requests are answered with 503; with TLS, further handshakes are closed
    /// without an answer. Default: `None`, no limit.
    pub fn max_handshakes(mut self, count: impl Into<Option<usize>>) -> Self {
        self.options.max_handshakes = count.into();
        self
    }

    /// The number of connections that memory is reserved for at the start; at most 16,777,216. Default 64.
    pub const fn initial_connections(mut self, count: usize) -> Self {
        self.options.initial_connections = count;
        self
    }

    /// The number of request buffers per shard that are allocated at the start and kept for reuse; at most 1,048,576.
    /// Default 16.
    pub const fn initial_handshakes(mut self, count: usize) -> Self {
        self.options.initial_handshakes = count;
        self
    }

    /// The longest time from accepting a socket to the 101 response, and from
    /// [`Adopter::reserve`](crate::adopt::Adopter::reserve) to
    /// [`Reservation::adopt`](crate::adopt::Reservation::adopt). Default 10 s.
    ///
    /// An answer that rejects the request may take longer: it is written as long as the peer takes some of it within
    /// this time.
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// The longest time to close a connection, from the moment that our Close is written, or from a failure. Messages
    /// that were accepted before the Close are written first, as long as the peer takes them within
    /// [`write_timeout`](Self::write_timeout). Default 5 s.
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.close_timeout = timeout;
        self
    }

    /// Closes a connection with 1001 when nothing was sent or received for this time. Default: `None`, off.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.protocol.idle_timeout = timeout.into();
        self
    }

    /// Pings peers that are silent, and ends connections whose peer does not answer. On TCP under Linux, this also ends
    /// connections whose peer has vanished while the application has paused reading. `None` turns it off. Default: a
    /// ping after 30 s, and 30 s for the answer.
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.options.protocol.keepalive = keepalive.into();
        self
    }

    /// Sets whether each connection counts what it receives and sends, and measures the round-trip time with the pings
    /// of [`keepalive`](Self::keepalive): [`WebSocket::stats`](crate::WebSocket::stats) and
    /// [`Conn::stats`](crate::Conn::stats). It takes about 600 bytes per connection. Default: no.
    pub const fn statistics(mut self, on: bool) -> Self {
        self.options.protocol.statistics = on;
        self
    }

    /// Sets how many of its latest events each connection records, from 1 to 65,536, to find out why it closed:
    /// [`CloseInfo::recording`](ws_proto::CloseInfo::recording). The server logs the recording of a connection that
    /// ends without a complete closing handshake, at the debug level. An event takes 16 bytes, which do not count
    /// against the [`memory_budget`](Self::memory_budget). Default: `None`, off.
    pub fn recorder(mut self, events: impl Into<Option<usize>>) -> Self {
        self.options.protocol.recorder = events.into();
        self
    }

    /// Ends a connection whose peer takes nothing of what waits to be written for this time, also while the connection
    /// is closing. `None` is no limit. Default 60 s.
    ///
    /// A peer that reads slowly is not affected: on Linux every byte that it acknowledges counts. The end may come
    /// later by a sixteenth of the time.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.protocol.write_timeout = timeout.into();
        self
    }

    /// Ends a connection with 1008 if a message is not complete within this time after its first byte. `None` is no
    /// limit. Default 2 minutes.
    pub fn message_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.protocol.message_timeout = timeout.into();
        self
    }

    /// The most messages that wait to be written on a connection. Beyond them sends return `Full` or wait. At least 1.
    /// Default 65,536.
    pub const fn write_queue_messages(mut self, count: usize) -> Self {
        self.options.protocol.write_queue_messages = count;
        self
    }

    /// The most bytes that wait to be written on a connection. Beyond them sends return `Full` or wait. A single
    /// message may be larger if no other message waits. Default 1 MiB.
    ///
    /// A message counts its payload and up to [`MESSAGE_OVERHEAD`](ws_proto::memory::MESSAGE_OVERHEAD) (64 bytes) more,
    /// so 1 MiB holds 16,384 empty messages.
    pub const fn write_queue_bytes(mut self, bytes: usize) -> Self {
        self.options.protocol.write_queue_bytes = bytes;
        self
    }

    /// Whether text is checked to be valid UTF-8; [`Config::validate_utf8`](ws_proto::Config::validate_utf8) says what
    /// follows without the check. Default: yes.
    pub const fn validate_utf8(mut self, validate: bool) -> Self {
        self.options.protocol.validate_utf8 = validate;
        self
    }

    /// Whether messages are delivered to a [`Handler`](crate::Handler) while its peer does not take what is written.
    /// Default: no.
    pub const fn read_while_blocked(mut self, read: bool) -> Self {
        self.options.read_while_blocked = read;
        self
    }

    /// Sets `TCP_NODELAY` on sockets. Default: on. Replies to messages that arrive together are written together in any
    /// case.
    pub const fn tcp_nodelay(mut self, on: bool) -> Self {
        self.options.tcp_nodelay = on;
        self
    }

    /// The most connections that the kernel holds until they are accepted. Default 128.
    pub const fn backlog(mut self, backlog: u32) -> Self {
        self.options.backlog = backlog;
        self
    }

    /// The permissions of the socket file of [`bind_unix`](Self::bind_unix), such as `0o660`; at most `0o777`. A
    /// process that may write to the file may connect. Default: `0o777` without the bits of the process's umask.
    #[cfg(unix)]
    pub const fn unix_mode(mut self, mode: u32) -> Self {
        self.options.unix_mode = Some(mode);
        self
    }

    /// The size of the receive buffer that all connections of a shard share, from 1 KiB to 1 GiB. Default 128 KiB. A
    /// shard has a second one while an async function waits with messages that are in the first. It has no effect
    /// without shards: the threads of your runtime use the default.
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.options.receive_buffer = bytes;
        self
    }

    /// The pool of buffers for large messages, one per shard. Default: [`BufferPoolConfig::for_messages_of`] the
    /// longest message. Buffers that were not needed for two to four seconds are freed. It has no effect without
    /// shards: the threads of your runtime use [`BufferPoolConfig::default`].
    pub const fn pool(mut self, pool: BufferPoolConfig) -> Self {
        self.options.pool = Some(pool);
        self
    }

    /// Which web pages may connect. Default: pages of the same host ([`OriginPolicy::SameHost`]); with TLS, only pages
    /// that were loaded with TLS too.
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.options.origin = policy;
        self
    }

    /// Sets a function that is called with each request before it is accepted. It can authenticate, choose a
    /// subprotocol, add response headers, or reject. With a [`Handler`](crate::Handler) it runs before
    /// [`accept`](crate::Handler::accept).
    pub fn on_request(
        mut self,
        hook: impl Fn(&mut Request) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.options.on_request = Some(Arc::new(hook));
        self
    }

    /// As [`on_request`](Self::on_request), for decisions that have to wait, for a database for example. The function
    /// takes the request and returns it, or rejects. [`Request`] shows how to pass a value on, such as the user.
    ///
    /// It runs before `on_request`. Its time counts against [`handshake_timeout`](Self::handshake_timeout), and its
    /// future is dropped when that time has passed.
    pub fn on_request_async<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Request, Rejection>> + Send + 'static,
    {
        self.options.on_request_async = Some(Arc::new(move |request| Box::pin(hook(request))));
        self
    }

    /// Uses TLS on TCP sockets. Keep a clone of `tls` to replace the certificate while the server runs.
    #[cfg(feature = "tls-core")]
    pub fn tls(mut self, tls: crate::net::Tls) -> Self {
        self.options.tls = Some(tls);
        self
    }

    /// Sets a function that answers plain HTTP requests on the same port, of HTTP/1.0 too: health checks, a page.
    /// Without it they are answered with 426 or 405.
    ///
    /// The connection is closed after the answer, which is written as long as the peer takes some of it within
    /// [`handshake_timeout`](Self::handshake_timeout). An answer to HEAD, and a 204, 205 or 304, is sent without its
    /// body.
    pub fn http(mut self, hook: impl Fn(&Request) -> http::Response<Bytes> + Send + Sync + 'static) -> Self {
        self.options.http = Some(Arc::new(hook));
        self
    }

    /// Compresses messages on connections whose client supports it (RFC 7692).
    /// [`DeflateConfig::server()`](ws_proto::deflate::DeflateConfig::server) turns it on. Default: `None`, no
    /// compression.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: impl Into<Option<ws_proto::deflate::DeflateConfig>>) -> Self {
        self.options.protocol.deflate = deflate.into();
        self
    }

    /// Changes settings of the protocol that have no method here, such as
    /// [`auto_pong`](ws_proto::Config::auto_pong) and the [`Limits`](ws_proto::Limits).
    pub fn protocol(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.options.protocol);
        self
    }
}

/// Shows the settings, without the hooks and TLS.
impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { protocol, max_connections, max_per_address, max_handshakes, origin, .. } =
            &self.options;
        f.debug_struct("ServerBuilder")
            .field("protocol", protocol)
            .field("max_connections", max_connections)
            .field("max_connections_per_address", max_per_address)
            .field("max_handshakes", max_handshakes)
            .field("origin", origin)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `addr` with the default settings: messages of up to 16 MiB, 10 s for a handshake, keepalive after 30
    /// s, and web pages of the same host only.
    ///
    /// # Errors
    /// As [`ServerBuilder::bind`].
    ///
    /// # Cancel safety
    /// Safe. Nothing listens then.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().bind(addr).await
    }

    /// Settings for a server, with the defaults.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}
