//! Settings of listeners, and of the proxies in front of them.

#[cfg(unix)]
use std::io;

use crate::proxy::{Forwarded, ProxyProtocol};
#[cfg(unix)]
use crate::{net::listener, server::Server};

use super::ServerBuilder;

impl ServerBuilder {
    /// Trusted proxies that begin each connection with a header of the PROXY protocol, which names the client: see
    /// [`ProxyProtocol`]. Default: `None`, off.
    pub fn proxy_protocol(mut self, protocol: impl Into<Option<ProxyProtocol>>) -> Self {
        self.options.proxy_protocol = protocol.into();
        self
    }

    /// Trusted proxies that name the client in a header of the request, `Forwarded` or `X-Forwarded-For`: see
    /// [`Forwarded`]. It applies to adopted connections too. Default: `None`, off.
    pub fn forwarded(mut self, forwarded: impl Into<Option<Forwarded>>) -> Self {
        self.options.forwarded = forwarded.into();
        self
    }

    /// Sets `SO_REUSEPORT` on the listener of [`bind`](Self::bind): several listeners of the same user share the port,
    /// in one process or in several, and the kernel chooses one of them for each connection. Each of them has to set
    /// it. Default: no.
    ///
    /// A server that ends resets the connections that wait in its listener's queue, unless
    /// `net.ipv4.tcp_migrate_req` is set.
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))))]
    pub const fn reuse_port(mut self, on: bool) -> Self {
        self.options.reuse_port = on;
        self
    }

    /// Uses a listener on a Unix socket that already exists, for example from socket activation. The file of the socket
    /// stays when the server ends. TLS is not used.
    ///
    /// # Errors
    /// As [`listener`](Self::listener).
    #[cfg(unix)]
    pub fn unix_listener(self, listener: tokio::net::UnixListener) -> io::Result<Server> {
        let bound = listener::unix::Bound::existing(listener.into_std()?);
        Ok(Server::new(Some(listener::Listener::Unix(bound)), self.build_state()?))
    }
}
