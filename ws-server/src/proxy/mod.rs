//! The address of a client behind a proxy: [`ProxyProtocol`] and [`Forwarded`], from the proxies that a server trusts.
//!
//! Both are off by default. What a peer says about addresses counts only if the peer's own address is one of
//! [`Networks`] that the server trusts.

mod forwarded;
pub(crate) mod header;
mod networks;

pub use forwarded::Forwarded;
pub use networks::{Network, NetworkError, Networks};

use std::net::SocketAddr;

/// The peers that a server trusts: those of some networks, and perhaps those of Unix sockets.
#[derive(Debug, Clone)]
struct Trusted {
    networks: Networks,
    unix_sockets: bool,
}

impl Trusted {
    fn new(networks: impl Into<Networks>) -> Self {
        Self { networks: networks.into(), unix_sockets: false }
    }

    /// `None` is a peer on a Unix socket.
    fn contains(&self, peer: Option<SocketAddr>) -> bool {
        peer.map_or(self.unix_sockets, |peer| self.networks.contains(peer.ip()))
    }
}

/// The PROXY protocol of HAProxy, versions 1 and 2, from trusted proxies only. For
/// [`ServerBuilder::proxy_protocol`](crate::ServerBuilder::proxy_protocol).
///
/// A connection from a trusted proxy begins with a header that names the client, before TLS and HTTP:
/// [`Request::peer_addr`](crate::Request::peer_addr), the limits per address and the logs then have the client's
/// address, and [`Request::proxy_addr`](crate::Request::proxy_addr) has the proxy's. From other peers the header is not
/// parsed, so it is a malformed request.
///
/// ```
/// use ws_server::{Server, proxy::{Networks, ProxyProtocol}};
///
/// let trusted: Networks = "10.0.0.0/8, fd00::/8".parse()?;
/// let server = Server::builder().proxy_protocol(ProxyProtocol::from_proxies(trusted));
/// # Ok::<(), ws_server::proxy::NetworkError>(())
/// ```
///
/// A trusted connection without a valid header is closed without an answer. The header has to arrive within
/// [`handshake_timeout`](crate::ServerBuilder::handshake_timeout), in any number of segments.
///
/// - Version 1: `TCP4`, `TCP6`, and `UNKNOWN`, which names no client. At most 107 bytes.
/// - Version 2: `LOCAL`, which names no client, and `PROXY` with TCP over IPv4 or IPv6, Unix sockets (the client then
///   has no address) and `UNSPEC` (no client is named). Datagrams are malformed. At most 4096 bytes. TLVs are skipped.
///   A checksum (`PP2_TYPE_CRC32C`) is checked if there is one.
///
/// If no client is named, the connection counts as one of the proxy itself: a health check, for example.
#[derive(Debug, Clone)]
#[must_use]
pub struct ProxyProtocol {
    trusted: Trusted,
    is_optional: bool,
}

impl ProxyProtocol {
    /// Requires the header from peers of these networks.
    pub fn from_proxies(trusted: impl Into<Networks>) -> Self {
        Self { trusted: Trusted::new(trusted), is_optional: false }
    }

    /// Also requires the header on Unix sockets, from all their peers.
    pub const fn on_unix_sockets(mut self) -> Self {
        self.trusted.unix_sockets = true;
        self
    }

    /// Also takes connections of trusted peers without a header. They count as connections of the peer itself.
    ///
    /// Use it only if no trusted peer passes on the bytes of others without a header of its own: clients behind such a
    /// proxy could write the header themselves.
    pub const fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }

    pub(crate) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        self.trusted.contains(peer)
    }

    pub(crate) const fn is_optional(&self) -> bool {
        self.is_optional
    }
}
