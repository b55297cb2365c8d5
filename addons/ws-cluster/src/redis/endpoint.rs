//! Where a server is, and how a connection to it is made.

use std::{fmt, io, path::PathBuf, time::Duration};

use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, aio::MultiplexedConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};

/// The address of a server. It has no credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Endpoint {
    /// Another server of the same deployment: as a redirection or a list of nodes names it. An empty host is the one
    /// that this endpoint has.
    pub(super) fn neighbour(&self, host: &str, port: u16) -> Self {
        let tls = matches!(self, Self::Tcp { tls: true, .. });
        match self {
            Self::Tcp { host: own, .. } if host.is_empty() => Self::Tcp { host: own.clone(), port, tls },
            _ => Self::Tcp { host: host.to_owned(), port, tls },
        }
    }

    /// A neighbour by its `host:port`. IPv6 addresses come with or without brackets.
    pub(super) fn neighbour_at(&self, address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        Some(self.neighbour(host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
    }
}

/// The user and the password. `Debug` shows neither.
#[derive(Clone, Default)]
pub(super) struct Credentials(pub(super) RedisConnectionInfo);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.0.password().is_some() { "set" } else { "none" };
        f.debug_tuple("Credentials").field(&format_args!("{shown}")).finish()
    }
}

/// Reads a URL. The error is a text without the URL, which may have a password.
pub(super) fn parse(url: &str) -> Result<(Endpoint, Credentials), &'static str> {
    // The `redis` crate refuses TLS schemes unless its own TLS is compiled in. This crate has its own.
    let tls_rest = url.strip_prefix("rediss://").or_else(|| url.strip_prefix("valkeys://"));
    if tls_rest.is_some() && !cfg!(feature = "redis-tls") {
        return Err("TLS needs the feature `redis-tls`");
    }
    let plain = tls_rest.map(|rest| format!("redis://{rest}"));
    let info = plain.as_deref().unwrap_or(url).into_connection_info().map_err(|_| "it is not a Redis URL")?;
    let endpoint = match info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            Endpoint::Tcp { host: host.clone(), port: *port, tls: tls_rest.is_some() }
        }
        ConnectionAddr::Unix(path) => Endpoint::Unix(path.clone()),
        _ => return Err("its kind of address is not supported"),
    };
    let credentials =
        info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
    Ok((endpoint, Credentials(credentials)))
}

/// A stream to a server.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// How connections are made.
#[derive(Debug, Clone)]
pub(super) struct Connecting {
    pub(super) credentials: Credentials,
    pub(super) timeout: Duration,
    #[cfg(feature = "redis-tls")]
    pub(super) tls: super::tls::Tls,
}

/// A connection for commands. Dropping it ends it, also for requests in flight.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) requests: MultiplexedConnection,
    driver: AbortHandle,
}

impl Connection {
    /// Ends the connection. Requests in flight fail.
    pub(super) fn end(&self) {
        self.driver.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

impl Connecting {
    /// Opens a stream, without any Redis command.
    pub(super) async fn stream(&self, endpoint: &Endpoint) -> io::Result<Box<dyn Io>> {
        match endpoint {
            Endpoint::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                if *tls { self.secured(host, stream).await } else { Ok(Box::new(stream)) }
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[cfg(feature = "redis-tls")]
    async fn secured(&self, host: &str, stream: TcpStream) -> io::Result<Box<dyn Io>> {
        Ok(Box::new(self.tls.connect(host, stream).await?))
    }

    #[cfg(not(feature = "redis-tls"))]
    async fn secured(&self, _: &str, _: TcpStream) -> io::Result<Box<dyn Io>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens a connection for commands and waits for an answer: a stopped server accepts connections too.
    pub(super) async fn commands(&self, endpoint: &Endpoint) -> Result<Connection, RedisError> {
        let open = async {
            let stream = self.stream(endpoint).await?;
            // The callers have deadlines of their own. The crate's default of 500 ms is shorter than a failover.
            let config = AsyncConnectionConfig::new().set_response_timeout(None);
            let (mut requests, driver) =
                MultiplexedConnection::new_with_config(&self.credentials.0, stream, config).await?;
            let connection =
                Connection { requests: requests.clone(), driver: tokio::spawn(driver).abort_handle() };
            ::redis::cmd("PING").query_async::<()>(&mut requests).await?;
            Ok(connection)
        };
        timeout(self.timeout, open)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let (endpoint, credentials) = parse("redis://user:secret@example.com:7000/2").unwrap();
        assert_eq!(endpoint.to_string(), "example.com:7000");
        assert_eq!(credentials.0.username(), Some("user"));
        assert_eq!(credentials.0.db(), 2);
        assert!(!format!("{credentials:?}").contains("secret"));
        assert_eq!(parse("unix:///tmp/redis.sock").unwrap().0, Endpoint::Unix("/tmp/redis.sock".into()));
        assert_eq!(parse("redis://localhost").unwrap().0.to_string(), "localhost:6379");
        assert!(parse("http://secret@example.com").is_err());
        assert_eq!(parse("rediss://example.com").is_ok(), cfg!(feature = "redis-tls"));
    }

    #[test]
    fn neighbours_keep_the_host_if_none_is_named() {
        let endpoint = Endpoint::Tcp { host: "a".into(), port: 1, tls: true };
        assert_eq!(endpoint.neighbour("", 2), Endpoint::Tcp { host: "a".into(), port: 2, tls: true });
        assert_eq!(endpoint.neighbour_at("10.0.0.1:3").unwrap().to_string(), "10.0.0.1:3");
        assert_eq!(endpoint.neighbour_at("::1:3").unwrap().to_string(), "[::1]:3");
        assert_eq!(endpoint.neighbour_at(":3").unwrap().to_string(), "a:3");
        assert_eq!(endpoint.neighbour_at("nonsense"), None);
    }
}
