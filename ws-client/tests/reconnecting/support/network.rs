//! A network in memory. It counts the client's transports.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    time::Instant,
};
use ws_client::{Config, Keepalive, WebSocket};
use ws_proto::Connection;

pub(crate) type ServerSocket = WebSocket<DuplexStream>;

/// The client's transports that exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    open: Arc<AtomicUsize>,
}

impl Network {
    /// Opens a transport.
    ///
    /// # Panics
    /// If there is another one: the client must never have two connections.
    pub(crate) fn open(&self, buffer: usize) -> (Io, DuplexStream) {
        assert_eq!(self.open.fetch_add(1, Ordering::SeqCst), 0, "a second connection");
        let (client, server) = tokio::io::duplex(buffer);
        (Io { stream: client, open: Arc::clone(&self.open), life: Arc::default() }, server)
    }

    /// Opens a connection whose opening handshake is done.
    pub(crate) fn connect(&self, buffer: usize, config: Config) -> (WebSocket<Io>, ServerSocket) {
        let (client, server) = self.open(buffer);
        (client_socket(client, config), server_socket(server))
    }

    pub(crate) fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// The client's end of a transport.
#[derive(Debug)]
pub(crate) struct Io {
    stream: DuplexStream,
    open: Arc<AtomicUsize>,
    life: Arc<()>,
}

impl Io {
    /// Tells whether this transport is gone.
    pub(crate) fn life(&self) -> Life {
        Life(Arc::downgrade(&self.life))
    }
}

#[derive(Debug)]
pub(crate) struct Life(Weak<()>);

impl Life {
    /// Waits until the transport is gone.
    pub(crate) async fn end(&self) {
        while self.0.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn client_socket(io: Io, config: Config) -> WebSocket<Io> {
    let masks = Box::new(ws_proto::mask::ChaChaMaskSource::from_seed([7; 32]));
    WebSocket::new(io, Connection::client(config.validate().unwrap(), masks, Instant::now().into_std()))
}

/// A server's settings without deadlines.
pub(crate) fn server_config() -> Config {
    let mut config = Config::default();
    (config.keepalive, config.write_timeout, config.message_timeout) = (None, None, None);
    config
}

pub(crate) fn server_socket(io: DuplexStream) -> ServerSocket {
    let config = server_config().validate().unwrap();
    WebSocket::new(io, Connection::server(config, Instant::now().into_std()))
}

/// A client's settings with a keepalive that finds a dead peer within ten seconds.
pub(crate) fn with_keepalive() -> Config {
    let second = Duration::from_secs(1);
    let mut config = Config::default();
    config.keepalive = Some(Keepalive::new(5 * second, 5 * second));
    config
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
