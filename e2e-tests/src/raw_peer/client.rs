//! The client's side.

use super::{Head, RawConnection, RequestHead, SAMPLE_KEY, Side, within};
use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use tokio::net::TcpSocket;

/// A client that is connected to a server under test.
#[derive(Debug)]
pub struct RawClient {
    connection: RawConnection,
    address: SocketAddr,
}

impl RawClient {
    /// Opens the TCP connection and sends nothing yet.
    ///
    /// # Panics
    /// When the connection fails.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::dial(address, None, None).await
    }

    /// As [`RawClient::connect`], with a receive buffer of about this many bytes in the kernel. When this client does
    /// not read, the server's writes stop soon.
    ///
    /// # Panics
    /// When the connection fails.
    pub async fn connect_with_receive_buffer(address: SocketAddr, bytes: u32) -> Self {
        Self::dial(address, Some(bytes), None).await
    }

    /// As [`RawClient::connect`], from this address of the machine. All of `127.0.0.0/8` can be used.
    ///
    /// # Panics
    /// When the connection fails, or the address is not one of this machine.
    pub async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        Self::dial(address, None, Some(source)).await
    }

    async fn dial(address: SocketAddr, receive_buffer: Option<u32>, source: Option<IpAddr>) -> Self {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.expect("a socket");
        if let Some(bytes) = receive_buffer {
            // Before the connect, which negotiates the window scale.
            socket.set_recv_buffer_size(bytes).expect("a buffer size");
        }
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0)).expect("an address of ours");
        }
        let stream = within("a connection", socket.connect(address)).await;
        let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
        let connection = RawConnection::new(stream, Side::Client).expect("a living socket");
        Self { connection, address }
    }

    /// Connects and upgrades.
    ///
    /// # Panics
    /// When the server does not answer with a valid `101`.
    pub async fn open(address: SocketAddr, target: &str) -> Self {
        let mut client = Self::connect(address).await;
        client.upgrade(target).await;
        client
    }

    /// A valid request to this server, which a test can modify.
    pub fn request(&self, target: &str) -> RequestHead {
        RequestHead::new(self.address, target)
    }

    /// Upgrades with a valid request. Checks the `101` and returns its head.
    ///
    /// # Panics
    /// When the server does not answer with a valid `101`.
    pub async fn upgrade(&mut self, target: &str) -> Head {
        let request = self.request(target).to_bytes();
        let head = self.upgrade_with(request).await;
        head.assert_switching_protocols(SAMPLE_KEY);
        head
    }

    /// Sends these bytes and returns the head of the response, whatever its status.
    ///
    /// # Panics
    /// When no response arrives.
    pub async fn upgrade_with(&mut self, request: impl AsRef<[u8]>) -> Head {
        self.send_bytes(request).await;
        self.recv_head().await
    }

    /// The connection itself, which can be split or reset.
    pub fn into_connection(self) -> RawConnection {
        self.connection
    }
}

impl Deref for RawClient {
    type Target = RawConnection;

    fn deref(&self) -> &RawConnection {
        &self.connection
    }
}

impl DerefMut for RawClient {
    fn deref_mut(&mut self) -> &mut RawConnection {
        &mut self.connection
    }
}
