//! The server's side.

use super::{Head, RawConnection, Side, switching_protocols, within};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use tokio::net::{TcpListener, TcpSocket};

/// Accepts connections of clients under test.
#[derive(Debug)]
pub struct RawAcceptor {
    listener: TcpListener,
    address: SocketAddr,
}

impl RawAcceptor {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When that fails, or outside a runtime.
    pub fn bind() -> Self {
        Self::bind_to(SocketAddr::from(([127, 0, 0, 1], 0)), None)
    }

    /// Listens on that address. A small receive buffer in the kernel, of about this many bytes, stops a client's writes
    /// soon when this server does not read.
    ///
    /// # Panics
    /// When that fails, or outside a runtime.
    pub fn bind_to(address: SocketAddr, receive_buffer: Option<u32>) -> Self {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a buffer size");
        }
        socket.bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let listener = socket.listen(16).expect("a listening socket");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self { listener, address }
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `ws://ADDRESS` and the target.
    pub fn url(&self, target: &str) -> String {
        format!("ws://{}{target}", self.address)
    }

    /// The next TCP connection. No byte of it has been read or sent.
    ///
    /// # Panics
    /// When none arrives.
    pub async fn accept(&self) -> RawServer {
        let (stream, _) = within("a connection", self.listener.accept()).await.expect("a connection");
        RawServer { connection: RawConnection::new(stream, Side::Server).expect("a living socket") }
    }

    /// The next connection, upgraded.
    ///
    /// # Panics
    /// When none arrives.
    pub async fn accept_upgraded(&self) -> RawServer {
        let mut server = self.accept().await;
        server.upgrade().await;
        server
    }
}

/// One connection of a client under test.
#[derive(Debug)]
pub struct RawServer {
    connection: RawConnection,
}

impl RawServer {
    /// Reads the request, answers it with a `101`, and returns the request.
    ///
    /// # Panics
    /// When no request with a key arrives.
    pub async fn upgrade(&mut self) -> Head {
        self.upgrade_with(&[]).await
    }

    /// As [`RawServer::upgrade`], with more header lines (`"Name: value"`) in the `101`.
    ///
    /// # Panics
    /// When no request with a key arrives.
    pub async fn upgrade_with(&mut self, extra_lines: &[&str]) -> Head {
        let request = self.recv_head().await;
        let key = request.header("Sec-WebSocket-Key").expect("a request with a key");
        self.connection.send_bytes(switching_protocols(key, extra_lines)).await;
        request
    }

    /// Reads the request, answers it with these bytes, and returns the request.
    ///
    /// # Panics
    /// When no request arrives.
    pub async fn answer(&mut self, bytes: impl AsRef<[u8]>) -> Head {
        let request = self.recv_head().await;
        self.send_bytes(bytes).await;
        request
    }

    /// The connection itself, which can be split or reset.
    pub fn into_connection(self) -> RawConnection {
        self.connection
    }
}

impl Deref for RawServer {
    type Target = RawConnection;

    fn deref(&self) -> &RawConnection {
        &self.connection
    }
}

impl DerefMut for RawServer {
    fn deref_mut(&mut self) -> &mut RawConnection {
        &mut self.connection
    }
}
