use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::net::{TcpListener, ToSocketAddrs};
use ws_proto::{Config, ConfigError, Keepalive, handshake::Rejection, memory::BufferPoolConfig};

use crate::{
    admission::{OriginPolicy, request::Request},
    net::listener::Listener,
    options::{Memory, Options},
    server::Server,
    shard::server_state::ServerState,
};

/// Settings of a [`Server`]. Sizes are in bytes.
#[derive(Clone, Default)]
#[must_use]
pub struct ServerBuilder {
    options: Options,
}

impl ServerBuilder {
    /// Most payload bytes of a message. Default 16 MiB.
    pub const fn max_message_size(mut self, bytes: usize) -> Self {
        self.options.protocol.limits.max_message_size = bytes;
        self
    }

    /// Most connections at once; one more is answered with 503 before the application is asked. Default: no limit.
    pub const fn max_connections(mut self, count: usize) -> Self {
        self.options.max_connections = count;
        self
    }

    /// Most connections from one address, and as many handshakes; one more is answered with 429, or with TLS just closed
    /// if it is a handshake. An IPv6 network of 64 bits counts as one address. Default: no limit, for behind a proxy all
    /// users have the same.
    pub const fn max_connections_per_address(mut self, count: usize) -> Self {
        self.options.max_per_address = count;
        self
    }

    /// The most bytes that all connections hold together, in messages that are begun, held or being inflated, and in what
    /// waits to be written ([`MemoryBudget`](ws_proto::memory::MemoryBudget)); at least eight messages. Beyond it a message that
    /// grows ends its connection with 1013, and sends return `WriteBusy` or wait. Default 1 GiB, or eight messages of the
    /// limit if that is more. A budget that [`protocol`](Self::protocol) sets comes first.
    pub const fn memory_budget(mut self, bytes: Option<usize>) -> Self {
        self.options.memory = match bytes {
            Some(bytes) => Memory::Bytes(bytes),
            None => Memory::Unlimited,
        };
        self
    }

    /// Most handshakes at once; one more is answered with 503, or with TLS just closed. Default: no limit.
    pub const fn max_handshakes(mut self, count: usize) -> Self {
        self.options.max_handshakes = count;
        self
    }

    /// Connections that memory is set aside for at the start; at most 16,777,216. Default 64.
    pub const fn initial_connections(mut self, count: usize) -> Self {
        self.options.initial_connections = count;
        self
    }

    /// Request buffers that are made at the start, per shard, and kept for reuse; at most 1,048,576. Default 16.
    pub const fn initial_handshakes(mut self, count: usize) -> Self {
        self.options.initial_handshakes = count;
        self
    }

    /// Longest time from accepting a socket to the 101 response. An answer in place of the 101 goes on for as long as the peer
    /// takes some of it within this time. Default 10 s.
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Longest time for closing, from the moment at which our Close is written, or from a failure. What was accepted before
    /// the Close goes out first, for as long as the peer takes it ([`write_timeout`](Self::write_timeout)).
    /// Default 5 s.
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.protocol.close_timeout = timeout;
        self
    }

    /// Closes with 1001 after so much silence in both directions. Default: off.
    pub const fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.protocol.idle_timeout = timeout;
        self
    }

    /// Pings silent peers and ends the connections of those that vanished. On TCP under Linux that includes peers from which
    /// nothing is read because the application has paused. Default: 30 s, and 30 s more.
    pub const fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.options.protocol.keepalive = keepalive;
        self
    }

    /// Ends a connection whose peer has taken nothing of what waits for it for so long, also while it is closing. A peer that
    /// reads slowly is not ended: on Linux every byte that it acknowledges counts, and the end may come a sixteenth later.
    /// Default 60 s.
    pub const fn write_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.protocol.write_timeout = timeout;
        self
    }

    /// Ends a connection with 1008 if a message is not complete so long after it began. Default 2 minutes.
    pub const fn message_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.protocol.message_timeout = timeout;
        self
    }

    /// Most messages and bytes that wait to be written on a connection; beyond them sends return `WriteBusy` or wait.
    /// A message counts its payload, and up to [`MESSAGE_OVERHEAD`](ws_proto::memory::MESSAGE_OVERHEAD) (64 bytes) beside it, so 1 MiB
    /// holds 16,384 empty ones. Default 65,536 and 1 MiB.
    pub const fn write_queue(mut self, messages: usize, bytes: usize) -> Self {
        self.options.protocol.write_queue_messages = messages;
        self.options.protocol.write_queue_bytes = bytes;
        self
    }

    /// Whether text is checked to be UTF-8. Default: yes.
    pub const fn validate_utf8(mut self, validate: bool) -> Self {
        self.options.protocol.validate_utf8 = validate;
        self
    }

    /// Whether a [`Handler`](crate::Handler) still gets messages while its peer does not take what is written.
    /// Default: no.
    pub const fn read_while_blocked(mut self, read: bool) -> Self {
        self.options.read_while_blocked = read;
        self
    }

    /// TCP_NODELAY. Default: on; replies are coalesced anyway.
    pub const fn tcp_nodelay(mut self, on: bool) -> Self {
        self.options.tcp_nodelay = on;
        self
    }

    /// Connections that the kernel may hold ready to be accepted. Default 128.
    pub const fn backlog(mut self, backlog: u32) -> Self {
        self.options.backlog = backlog;
        self
    }

    /// The permissions of the file of [`bind_unix`](Self::bind_unix), such as `0o660`, at most `0o777`; a process
    /// that may write to it may connect. Default: what the process's umask leaves of `0o777`.
    #[cfg(unix)]
    pub const fn unix_mode(mut self, mode: u32) -> Self {
        self.options.unix_mode = Some(mode);
        self
    }

    /// Size of the receive buffer that all connections of a shard share, from 1 KiB to 1 GiB. Default 128 KiB. Without
    /// shards the runtime's threads keep the default.
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.options.receive_buffer = bytes;
        self
    }

    /// The pool of buffers for large messages, per shard. Default: [`BufferPoolConfig::for_messages_of`] the message limit;
    /// what nobody needed for two to four seconds is freed. Without shards the runtime's threads keep the plain default.
    pub const fn pool(mut self, pool: BufferPoolConfig) -> Self {
        self.options.pool = Some(pool);
        self
    }

    /// Which pages may connect. Default: those of the same host, with TLS only those that have it too
    /// ([`OriginPolicy::SameHost`]).
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.options.origin = policy;
        self
    }

    /// Looks at each request before it is accepted: authenticates, chooses a subprotocol, adds response headers, or
    /// rejects. With a [`Handler`](crate::Handler) it runs before `accept`.
    pub fn on_request(
        mut self,
        hook: impl Fn(&mut Request) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.options.on_request = Some(Arc::new(hook));
        self
    }

    /// As [`on_request`](Self::on_request), for decisions that take their time, such as a look into a database: takes the
    /// request and gives it back, or rejects. It counts against [`handshake_timeout`](Self::handshake_timeout), and its
    /// future is dropped when that passes. It runs before `on_request`.
    pub fn on_request_async<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Request, Rejection>> + Send + 'static,
    {
        self.options.on_request_async = Some(Arc::new(move |request| Box::pin(hook(request))));
        self
    }

    /// Speaks TLS on TCP. Keep a clone of `tls` to replace the certificate while the server runs.
    #[cfg(feature = "tls-core")]
    pub fn tls(mut self, tls: crate::net::Tls) -> Self {
        self.options.tls = Some(tls);
        self
    }

    /// Answers plain HTTP requests on the same port, of HTTP/1.0 too: health checks, a page. Without it they get 426 or 405.
    /// The connection is closed behind the answer, which goes on for as long as the peer takes some of it within
    /// [`handshake_timeout`](Self::handshake_timeout). An answer to HEAD, and a 204, 205 or 304, is sent without its body.
    pub fn http(mut self, hook: impl Fn(&Request) -> http::Response<Bytes> + Send + Sync + 'static) -> Self {
        self.options.http = Some(Arc::new(hook));
        self
    }

    /// Compresses messages on connections whose client agrees (RFC 7692): `Some(DeflateConfig::server())`. Default: no.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: Option<ws_proto::deflate::DeflateConfig>) -> Self {
        self.options.protocol.deflate = deflate;
        self
    }

    /// Changes the protocol's settings that have no method of their own.
    pub fn protocol(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.options.protocol);
        self
    }

    /// Listens on `addr`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with the option and the value for a bad setting, [`io::ErrorKind::Unsupported`]
    /// outside of a tokio runtime and in one without I/O or timers, else what the operating system says of the address.
    ///
    /// A runtime without I/O or timers is found out by a panic of tokio's. The panic is caught, but the process's panic hook
    /// runs, and a program that aborts on panics aborts.
    pub async fn bind(self, addr: impl ToSocketAddrs) -> io::Result<Server> {
        let server = self.build_state()?;
        let listener = Listener::bind(addr, server.options.backlog).await?;
        Ok(Server::new(listener, server))
    }

    /// Listens on a Unix socket, which must not exist; the file is removed when the server ends. TLS is not used there.
    ///
    /// Who may connect is up to the file's permissions, [`unix_mode`](Self::unix_mode). On Linux they are set before the
    /// socket listens, so that no connection is made under other ones. Elsewhere the socket listens for a moment with what the umask
    /// leaves: use a directory that only the right users can enter.
    ///
    /// It can be called outside of a tokio runtime, before privileges are dropped for example; the server is run in one.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with the option and the value for a bad setting, else what the operating system says of
    /// the path.
    #[cfg(unix)]
    pub fn bind_unix(self, path: impl AsRef<std::path::Path>) -> io::Result<Server> {
        let server = self.build_state()?;
        let bound = crate::net::listener::unix::Bound::new(path.as_ref(), server.options.unix_mode)?;
        Ok(Server::new(Listener::Unix(bound), server))
    }

    /// Uses a listener that was made elsewhere, by socket activation for example.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a bad setting.
    pub fn listener(self, listener: TcpListener) -> io::Result<Server> {
        Ok(Server::new(Listener::Tcp(listener.into_std()?), self.build_state()?))
    }

    fn build_state(mut self) -> io::Result<Arc<ServerState>> {
        let invalid = |error: ConfigError| io::Error::new(io::ErrorKind::InvalidInput, error);
        self.options.check().map_err(invalid)?;
        if self.options.protocol.memory_budget.is_none() {
            self.options.protocol.memory_budget = self.options.memory_budget();
        }
        let protocol = self.options.protocol.clone().build().map_err(invalid)?;
        let mut handler_protocol = self.options.protocol.clone();
        handler_protocol.auto_pong = false;
        let handler_protocol = handler_protocol.build().map_err(invalid)?;
        Ok(ServerState::new(self.options, protocol, handler_protocol))
    }
}

impl Server {
    /// Listens on `addr` with the defaults: 16 MiB per message, handshake deadline 10 s, keepalive 30 s, same-host
    /// origins only.
    ///
    /// # Errors
    /// As [`ServerBuilder::bind`].
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().bind(addr).await
    }

    /// A server with other settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}
