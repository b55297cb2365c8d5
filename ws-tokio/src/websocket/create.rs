//! Creates a WebSocket from a transport.

use ws_proto::{Connection, SendQueue, ValidConfig};

use super::WebSocket;
use crate::{
    shared::{SharedState, lock},
    time::now,
};

impl<S> WebSocket<S> {
    /// Creates a `WebSocket` from a transport and a connection whose opening handshake is complete.
    #[must_use]
    pub fn new(io: S, connection: Connection) -> Self {
        Self::from_shared(SharedState::inline(io, connection).shared())
    }

    /// Creates the server's end of a connection whose opening handshake was completed elsewhere. Set what was read
    /// beyond the request with [`with_received`](Self::with_received).
    ///
    /// No extension is in use. For one that the handshake negotiated, make the [`Connection`] and call
    /// [`new`](Self::new).
    ///
    /// For a TCP stream, also call `with_send_queue(tcp_send_queue)`: see
    /// [`with_send_queue`](Self::with_send_queue).
    ///
    /// # Panics
    /// Deadlines use `tokio::time`. The futures of the `WebSocket` panic outside of a tokio runtime, or in one without
    /// time, when they set a timer.
    #[doc(alias = "from_raw_socket")]
    #[must_use]
    pub fn server(io: S, config: ValidConfig) -> Self {
        Self::new(io, Connection::server(config, now()))
    }

    /// Creates the client's end of a connection whose opening handshake was completed elsewhere. The keys that mask its
    /// frames (RFC 6455 section 5.3) come from ChaCha, which is seeded by the operating system. Otherwise, the same as
    /// [`server`](Self::server).
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    ///
    /// # Panics
    /// As [`server`](Self::server).
    #[cfg(feature = "client")]
    #[doc(alias = "from_raw_socket")]
    pub fn client(io: S, config: ValidConfig) -> std::io::Result<Self> {
        Ok(Self::new(io, Connection::client(config, crate::masks::seeded_masks()?, now())))
    }

    /// Sets the bytes that were read together with the handshake: the peer's first frames.
    #[must_use]
    pub fn with_received(self, received: &[u8]) -> Self {
        if let Some(driver) = lock(&self.shared).driver_mut() {
            driver.preload(received);
        }
        self
    }

    /// Sets the negotiated subprotocol.
    #[must_use]
    pub fn with_subprotocol(mut self, subprotocol: Option<String>) -> Self {
        if subprotocol.is_some() || self.rare.is_some() {
            self.rare.get_or_insert_default().subprotocol = subprotocol.map(String::into_boxed_str);
        }
        self
    }

    /// Sets a function that reads the state of the transport's send queue. With it, a peer that reads slowly is not
    /// mistaken for one that does not read, and a peer that has vanished is detected while the application takes no
    /// messages. Without it, the library sees only when the transport takes bytes: a peer that needs longer than
    /// `write_timeout` to make room in the kernel's buffers is disconnected, and so is one that needs longer than
    /// `close_timeout` to read what the kernel holds before our Close.
    ///
    /// `read` is called only when a deadline is about to pass. The connection is locked during the call, so `read` must
    /// not use this handle.
    ///
    /// A server's connections and those of a `Connector` have it. Set it for a TCP stream of your own, or one within
    /// TLS, with [`tcp_send_queue`](crate::tcp_send_queue), which works on Linux and does nothing elsewhere:
    ///
    /// ```
    /// use tokio::net::TcpStream;
    /// use ws_proto::ValidConfig;
    /// use ws_tokio::{WebSocket, tcp_send_queue};
    ///
    /// /// The opening handshake on `tcp` is complete.
    /// fn from_tcp(tcp: TcpStream) -> WebSocket<TcpStream> {
    ///     WebSocket::server(tcp, ValidConfig::default()).with_send_queue(tcp_send_queue)
    /// }
    /// ```
    #[must_use]
    pub fn with_send_queue(self, read: fn(&S) -> Option<SendQueue>) -> Self {
        lock(&self.shared).watch_send_queue(read);
        self
    }
}
