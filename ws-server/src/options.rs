use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use ws_proto::{
    Config,
    error::ConfigError,
    handshake::{OriginPolicy, Rejection},
    memory::{BufferPoolConfig, MemoryBudget},
};

use crate::{
    admission::request::Request,
    measure::Observer,
    topics::{Topics, TopicsBuilder},
};

/// Answers a plain HTTP request.
pub(crate) type HttpHook = Arc<dyn Fn(&Request) -> http::Response<Bytes> + Send + Sync>;
/// Accepts, changes or rejects a request.
pub(crate) type RequestHook = Arc<dyn Fn(&mut Request) -> Result<(), Rejection> + Send + Sync>;
/// As [`RequestHook`], for decisions that have to wait.
pub(crate) type AsyncRequestHook =
    Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Result<Request, Rejection>> + Send>> + Send + Sync>;

/// The memory that all connections may hold together.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    /// 1 GiB, or more for large messages.
    Default,
    Bytes(usize),
    Unlimited,
}

/// The settings of a server, which [`ServerBuilder`](crate::ServerBuilder) documents.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) protocol: Config,
    pub(crate) max_connections: Option<usize>,
    /// The most connections from one address, and the most handshakes.
    pub(crate) max_per_address: Option<usize>,
    pub(crate) memory: Memory,
    pub(crate) initial_connections: usize,
    pub(crate) max_handshakes: Option<usize>,
    pub(crate) initial_handshakes: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) backlog: u32,
    pub(crate) tcp_nodelay: bool,
    /// The permissions of the file of a Unix socket.
    #[cfg(unix)]
    pub(crate) unix_mode: Option<u32>,
    pub(crate) receive_buffer: usize,
    pub(crate) pool: Option<BufferPoolConfig>,
    pub(crate) read_while_blocked: bool,
    pub(crate) reuse_port: bool,
    pub(crate) proxy_protocol: Option<crate::proxy::ProxyProtocol>,
    pub(crate) forwarded: Option<crate::proxy::Forwarded>,
    pub(crate) origin: OriginPolicy,
    pub(crate) http: Option<HttpHook>,
    pub(crate) on_request: Option<RequestHook>,
    pub(crate) on_request_async: Option<AsyncRequestHook>,
    #[cfg(feature = "tls-core")]
    pub(crate) tls: Option<crate::net::Tls>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Whether handshakes and connections are spans of `tracing`.
    pub(crate) spans: bool,
    /// `None`: topics with the defaults and the server's memory budget.
    pub(crate) topics: Option<Topics>,
    /// Topics to be made, with the server's memory budget unless they have one.
    pub(crate) topics_settings: Option<Box<TopicsBuilder>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            protocol: Config::default(),
            max_connections: None,
            max_per_address: None,
            memory: Memory::Default,
            initial_connections: 64,
            max_handshakes: None,
            initial_handshakes: 16,
            handshake_timeout: Duration::from_secs(10),
            backlog: 128,
            tcp_nodelay: true,
            #[cfg(unix)]
            unix_mode: None,
            receive_buffer: ws_proto::memory::DEFAULT_RECEIVE_BUFFER,
            pool: None,
            read_while_blocked: false,
            reuse_port: false,
            proxy_protocol: None,
            forwarded: None,
            origin: OriginPolicy::SameHost,
            http: None,
            on_request: None,
            on_request_async: None,
            #[cfg(feature = "tls-core")]
            tls: None,
            observer: None,
            spans: false,
            topics: None,
            topics_settings: None,
        }
    }
}

impl Options {
    /// The pool of each shard: as set, or for messages of the longest size.
    pub(crate) fn pool(&self) -> BufferPoolConfig {
        let largest = self.protocol.limits.max_message_size;
        self.pool.unwrap_or_else(|| BufferPoolConfig::for_messages_of(largest))
    }

    /// The memory budget of all connections, unless the protocol's settings have one.
    pub(crate) fn memory_budget(&self) -> Option<MemoryBudget> {
        const DEFAULT: usize = 1024 * 1024 * 1024;
        match self.memory {
            // If eight messages are more than can be addressed, messages are unlimited, and so is memory.
            Memory::Default => {
                let eight_messages = self.protocol.limits.max_message_size.checked_mul(8)?;
                Some(MemoryBudget::new(DEFAULT.max(eight_messages)))
            }
            Memory::Bytes(bytes) => Some(MemoryBudget::new(bytes)),
            Memory::Unlimited => None,
        }
    }

    /// Connections that the kernel's table of descriptors is made large enough for at the start. An entry takes 8
    /// bytes.
    pub(crate) fn expected_connections(&self) -> usize {
        const AT_LEAST: usize = 16 * 1024;
        self.initial_connections.max(AT_LEAST.min(self.max_connections.unwrap_or(AT_LEAST)))
    }

    pub(crate) const fn listener_settings(&self) -> crate::net::listener::Settings {
        let (backlog, reuse_port, nodelay) = (self.backlog, self.reuse_port, self.tcp_nodelay);
        crate::net::listener::Settings { backlog, reuse_port, nodelay }
    }

    /// Whether the connections of this peer begin with a header of the PROXY protocol.
    pub(crate) fn expects_proxy_header(&self, peer: Option<SocketAddr>) -> bool {
        self.proxy_protocol.as_ref().is_some_and(|protocol| protocol.trusts(peer))
    }

    /// Whether the requests of this peer may name another one.
    pub(crate) fn trusts_forwarded(&self, peer: Option<SocketAddr>) -> bool {
        self.forwarded.as_ref().is_some_and(|forwarded| forwarded.trusts(peer))
    }

    /// Whether a handshake waits for nothing but its request.
    pub(crate) const fn decides_at_once(&self) -> bool {
        !self.uses_tls() && self.on_request_async.is_none()
    }

    #[cfg(feature = "tls-core")]
    pub(crate) const fn uses_tls(&self) -> bool {
        self.tls.is_some()
    }

    #[cfg(not(feature = "tls-core"))]
    #[expect(clippy::unused_self, reason = "the same signature as with TLS")]
    pub(crate) const fn uses_tls(&self) -> bool {
        false
    }

    /// Checks the settings. The error names a bad setting and its value.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let minima = [
            ("max_connections", self.max_connections.unwrap_or(1), 1, "must be at least 1"),
            ("max_handshakes", self.max_handshakes.unwrap_or(1), 1, "must be at least 1"),
            ("max_connections_per_address", self.max_per_address.unwrap_or(1), 1, "must be at least 1"),
            ("backlog", self.backlog as usize, 1, "must be at least 1"),
            ("receive_buffer", self.receive_buffer, 1024, "must be at least 1024 bytes"),
            ("pool.buffer_size", self.pool().buffer_size, 1024, "must be at least 1024 bytes"),
        ];
        for (option, value, least, expected) in minima {
            if value < least {
                return Err(ConfigError::new(option, value, expected));
            }
        }
        let maxima = [
            ("initial_connections", self.initial_connections, 1 << 24, "must be at most 16,777,216"),
            ("initial_handshakes", self.initial_handshakes, 1 << 20, "must be at most 1,048,576"),
            ("receive_buffer", self.receive_buffer, 1 << 30, "must be at most a gibibyte"),
            ("pool.preheat", self.pool().preheat, BufferPoolConfig::MAX_PREHEAT, "must be at most 65,536"),
        ];
        for (option, value, most, expected) in maxima {
            if value > most {
                return Err(ConfigError::new(option, value, expected));
            }
        }
        #[cfg(unix)]
        if let Some(mode) = self.unix_mode.filter(|mode| *mode > 0o777) {
            let value = format!("{mode:#o}");
            return Err(ConfigError::new("unix_mode", value, "must be at most 0o777"));
        }
        if self.handshake_timeout.is_zero() {
            let value = format!("{:?}", self.handshake_timeout);
            return Err(ConfigError::new("handshake_timeout", value, "must be longer than zero"));
        }
        self.protocol.clone().validate().map(drop)
    }
}
