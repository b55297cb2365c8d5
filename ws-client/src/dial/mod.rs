//! Dialling: name resolution, TCP and Unix connections, proxies and TLS.

mod happy_eyeballs;
mod http_connect;
mod resolve;
mod socks4;
mod socks5;

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

#[cfg(feature = "tls-core")]
use crate::tls::TlsStream;
use crate::{
    error::{ConnectError, ProxyError},
    proxy::{Proxy, ProxyKind, ProxyUrl},
    stream::{ClientStream, Kind},
    url::{Endpoint, Host, Target},
};

pub(crate) use resolve::Resolver;
use socks5::Destination;

/// The name of HTTP/2 over TLS in ALPN (RFC 9113 section 3.2).
#[cfg(all(feature = "http2", feature = "tls-core"))]
pub(crate) const H2: &[u8] = b"h2";

/// The settings for dialling.
#[derive(Debug, Clone)]
pub(crate) struct Dialler {
    pub(crate) resolver: Resolver,
    pub(crate) proxy: Proxy,
    pub(crate) nodelay: bool,
    #[cfg(feature = "tls-core")]
    pub(crate) tls: Option<crate::Tls>,
    /// Settings for `https` proxies. `None`: those for servers.
    #[cfg(feature = "tls-core")]
    pub(crate) proxy_tls: Option<crate::Tls>,
}

impl Default for Dialler {
    fn default() -> Self {
        Self {
            resolver: Resolver::default(),
            proxy: Proxy::default(),
            nodelay: true,
            #[cfg(feature = "tls-core")]
            tls: None,
            #[cfg(feature = "tls-core")]
            proxy_tls: None,
        }
    }
}

impl Dialler {
    /// Opens a transport to the server of `target`.
    pub(crate) async fn dial(&self, target: &Target) -> Result<ClientStream, ConnectError> {
        let (host, port) = match &target.endpoint {
            Endpoint::Tcp { host, port } => (host, *port),
            Endpoint::Unix(path) => return connect_unix(path).await,
        };
        // Checked first, so that nothing is sent if TLS is not available.
        let tls = self.tls(target.secure)?;
        let stream = match self.proxy.for_target(host.name(), port)? {
            None => self.connect(host, port).await?,
            Some(proxy) if proxy.kind == ProxyKind::HttpsConnect => {
                return self.dial_https_proxy(&proxy, tls, host, port).await;
            }
            Some(proxy) => self.connect_through_proxy(&proxy, host, port).await?,
        };
        wrap_in_tls(tls, host, stream).await
    }

    /// The same settings, but TLS to the server offers `h2` only. TLS to an `https` proxy is not changed.
    #[cfg(all(feature = "http2", feature = "tls-core"))]
    pub(crate) fn for_http2(&self, needs_tls: bool) -> Result<Self, ConnectError> {
        let mut dialler = self.clone();
        if let Some(tls) = self.tls(needs_tls)? {
            dialler.tls = Some(tls.with_alpn(H2));
            dialler.proxy_tls.get_or_insert(tls);
        }
        Ok(dialler)
    }

    #[cfg(all(feature = "http2", not(feature = "tls-core")))]
    pub(crate) fn for_http2(&self, needs_tls: bool) -> Result<Self, ConnectError> {
        self.tls(needs_tls).map(|_| self.clone())
    }

    async fn resolve(&self, host: &Host, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let name = host.for_lookup();
        let addrs = self.resolver.resolve(&name, port).await;
        addrs.map_err(|source| ConnectError::Resolve { host: name.into_owned(), source })
    }

    async fn connect(&self, host: &Host, port: u16) -> Result<TcpStream, ConnectError> {
        let addrs = self.resolve(host, port).await?;
        let stream = happy_eyeballs::first_success(addrs.into_iter().map(TcpStream::connect).collect())
            .await
            .map_err(|source| ConnectError::Connect { host: format!("{host}:{port}"), source })?;
        stream.set_nodelay(self.nodelay)?;
        Ok(stream)
    }

    async fn connect_through_proxy(
        &self,
        proxy: &ProxyUrl,
        host: &Host,
        port: u16,
    ) -> Result<TcpStream, ConnectError> {
        match proxy.kind {
            ProxyKind::HttpConnect | ProxyKind::HttpsConnect => {
                let mut stream = self.connect(&proxy.host, proxy.port).await?;
                let tunnel = http_connect::open(&mut stream, proxy, host, port).await;
                tunnel.map(|()| stream).map_err(|error| proxy_error(proxy, error))
            }
            ProxyKind::Socks4a | ProxyKind::Socks5h => {
                self.connect_socks(proxy, Destination::new(host.name(), port)).await
            }
            ProxyKind::Socks4 | ProxyKind::Socks5 => {
                let mut addrs = self.resolve(host, port).await?;
                let no_address = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                let mut failure = ConnectError::Resolve { host: host.name().to_owned(), source: no_address };
                if proxy.kind == ProxyKind::Socks4 && !addrs.is_empty() {
                    addrs.retain(SocketAddr::is_ipv4);
                    failure = proxy_error(proxy, ProxyError::Ipv4Only);
                }
                for addr in addrs {
                    match self.connect_socks(proxy, Destination::Addr(addr)).await {
                        Ok(stream) => return Ok(stream),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }

    async fn connect_socks(
        &self,
        proxy: &ProxyUrl,
        destination: Destination<'_>,
    ) -> Result<TcpStream, ConnectError> {
        let mut stream = self.connect(&proxy.host, proxy.port).await?;
        let tunnel = match proxy.kind {
            ProxyKind::Socks4 | ProxyKind::Socks4a => socks4::open(&mut stream, proxy, destination).await,
            _ => socks5::open(&mut stream, proxy, destination).await,
        };
        tunnel.map(|()| stream).map_err(|error| proxy_error(proxy, error))
    }

    /// Connects through a proxy that is reached by TLS. `tls` has the settings for TLS to the server inside
    /// the tunnel.
    #[cfg(feature = "tls-core")]
    async fn dial_https_proxy(
        &self,
        proxy: &ProxyUrl,
        tls: Option<crate::Tls>,
        host: &Host,
        port: u16,
    ) -> Result<ClientStream, ConnectError> {
        let to_proxy = self.proxy_tls.clone().map_or_else(|| self.server_tls(), Ok)?;
        let stream = self.connect(&proxy.host, proxy.port).await?;
        let mut stream = tls_handshake(&to_proxy, &proxy.host, stream).await?;
        let tunnel = http_connect::open(&mut stream, proxy, host, port).await;
        tunnel.map_err(|error| proxy_error(proxy, error))?;
        match tls {
            None => Ok(Kind::TlsToProxy(Box::new(stream)).into()),
            Some(tls) => {
                let stream = tls_handshake(&tls, host, stream).await?;
                Ok(Kind::TlsThroughTls(Box::new(stream)).into())
            }
        }
    }

    #[cfg(not(feature = "tls-core"))]
    #[expect(clippy::unused_async, reason = "the same signature as with TLS")]
    async fn dial_https_proxy(
        &self,
        _proxy: &ProxyUrl,
        _tls: Option<std::convert::Infallible>,
        _host: &Host,
        _port: u16,
    ) -> Result<ClientStream, ConnectError> {
        Err(ConnectError::TlsNotBuiltIn)
    }

    #[cfg(feature = "tls-core")]
    fn tls(&self, needed: bool) -> Result<Option<crate::Tls>, ConnectError> {
        if needed { self.server_tls().map(Some) } else { Ok(None) }
    }

    /// The settings for TLS to the server.
    #[cfg(feature = "tls-core")]
    pub(crate) fn server_tls(&self) -> Result<crate::Tls, ConnectError> {
        self.tls.clone().map_or_else(crate::Tls::shared, Ok).map_err(ConnectError::Tls)
    }

    #[cfg(not(feature = "tls-core"))]
    #[expect(clippy::unused_self, reason = "the same signature as with TLS")]
    const fn tls(&self, needed: bool) -> Result<Option<std::convert::Infallible>, ConnectError> {
        if needed { Err(ConnectError::TlsNotBuiltIn) } else { Ok(None) }
    }
}

fn proxy_error(proxy: &ProxyUrl, source: ProxyError) -> ConnectError {
    ConnectError::Proxy { proxy: proxy.to_string(), source }
}

#[cfg(feature = "tls-core")]
async fn wrap_in_tls(
    tls: Option<crate::Tls>,
    host: &Host,
    stream: TcpStream,
) -> Result<ClientStream, ConnectError> {
    match tls {
        None => Ok(Kind::Tcp(stream).into()),
        Some(tls) => Ok(Kind::Tls(Box::new(tls_handshake(&tls, host, stream).await?)).into()),
    }
}

#[cfg(feature = "tls-core")]
pub(crate) async fn tls_handshake<S>(
    tls: &crate::Tls,
    host: &Host,
    stream: S,
) -> Result<TlsStream<S>, ConnectError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let name = host.name();
    let stream = tls.connect(name, stream).await;
    stream.map_err(|source| ConnectError::TlsHandshake { host: name.to_owned(), source })
}

#[cfg(not(feature = "tls-core"))]
#[expect(clippy::unused_async, reason = "the same signature as with TLS")]
async fn wrap_in_tls(
    _tls: Option<std::convert::Infallible>,
    _host: &Host,
    stream: TcpStream,
) -> Result<ClientStream, ConnectError> {
    Ok(Kind::Tcp(stream).into())
}

#[cfg(unix)]
async fn connect_unix(path: &std::path::Path) -> Result<ClientStream, ConnectError> {
    let stream = tokio::net::UnixStream::connect(path).await;
    stream
        .map(|stream| Kind::Unix(stream).into())
        .map_err(|source| ConnectError::Connect { host: path.display().to_string(), source })
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "the same signature as on Unix")]
async fn connect_unix(path: &std::path::Path) -> Result<ClientStream, ConnectError> {
    let source =
        io::Error::new(io::ErrorKind::Unsupported, "Unix sockets are not supported on this platform");
    Err(ConnectError::Connect { host: path.display().to_string(), source })
}

#[cfg(all(test, not(feature = "tls-core")))]
mod tests {
    use tokio::net::TcpListener;

    use crate::{Connector, Proxy, ProxyUrl, connect, error::ConnectError};

    #[tokio::test]
    async fn without_tls_nothing_is_sent_to_an_https_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("https://me:secret@{}", listener.local_addr().unwrap());
        let connector = Connector::new().proxy(Proxy::Through(ProxyUrl::parse(&proxy).unwrap()));
        tokio::select! {
            result = connector.connect("ws://far.example/") => {
                assert!(matches!(result, Err(ConnectError::TlsNotBuiltIn)), "{result:?}");
            }
            _ = listener.accept() => panic!("the client connected without TLS"),
        }
    }

    #[tokio::test]
    async fn without_tls_nothing_is_sent_to_wss() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("wss://{}/", listener.local_addr().unwrap());
        tokio::select! {
            result = connect(&url) => assert!(matches!(result, Err(ConnectError::TlsNotBuiltIn)), "{result:?}"),
            _ = listener.accept() => panic!("the client connected without TLS"),
        }
    }
}
