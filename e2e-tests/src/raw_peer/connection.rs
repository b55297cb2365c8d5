//! A connection: both halves together.

use super::{Head, RawFrame, RawReader, RawWriter, ReceivedFrame, RecvError, Side};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// One TCP connection; the methods are those of [`RawReader`] and [`RawWriter`].
#[derive(Debug)]
pub struct RawConnection {
    /// The receiving half.
    pub reader: RawReader,
    /// The sending half.
    pub writer: RawWriter,
    local: SocketAddr,
}

impl RawConnection {
    /// Takes over a connected stream. This end has the role `side`.
    ///
    /// # Errors
    /// When the socket is already closed.
    pub fn new(stream: TcpStream, side: Side) -> io::Result<Self> {
        // Each write of a test is to be sent at once.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (RawReader::new(reader, side.peer()), RawWriter::new(writer, side));
        Ok(Self { reader, writer, local })
    }

    /// This end's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The two halves, for a test that sends and receives at the same time.
    pub fn split(self) -> (RawReader, RawWriter) {
        (self.reader, self.writer)
    }

    /// Closes the connection with a reset (RST).
    pub fn reset(self) {
        self.writer.reset();
    }

    /// [`RawWriter::send`].
    pub async fn send(&mut self, frame: RawFrame) {
        self.writer.send(frame).await;
    }

    /// [`RawWriter::send_together`].
    pub async fn send_together(&mut self, frames: &[RawFrame]) {
        self.writer.send_together(frames).await;
    }

    /// [`RawWriter::send_bytes`].
    pub async fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.send_bytes(bytes).await;
    }

    /// [`RawWriter::send_in_pieces`].
    pub async fn send_in_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        self.writer.send_in_pieces(bytes, size).await;
    }

    /// [`RawWriter::half_close`].
    pub async fn half_close(&mut self) {
        self.writer.half_close().await;
    }

    /// [`RawReader::recv_head`].
    pub async fn recv_head(&mut self) -> Head {
        self.reader.recv_head().await
    }

    /// [`RawReader::recv_body`].
    pub async fn recv_body(&mut self, head: &Head) -> Vec<u8> {
        self.reader.recv_body(head).await
    }

    /// [`RawReader::try_recv_frame`].
    ///
    /// # Errors
    /// As that method.
    pub async fn try_recv_frame(&mut self) -> Result<ReceivedFrame, RecvError> {
        self.reader.try_recv_frame().await
    }

    /// [`RawReader::recv_frame`].
    pub async fn recv_frame(&mut self) -> ReceivedFrame {
        self.reader.recv_frame().await
    }

    /// [`RawReader::recv_frames_to_eof`].
    pub async fn recv_frames_to_eof(&mut self) -> Vec<ReceivedFrame> {
        self.reader.recv_frames_to_eof().await
    }

    /// [`RawReader::expect_text`].
    pub async fn expect_text(&mut self, expected: &str) {
        self.reader.expect_text(expected).await;
    }

    /// [`RawReader::expect_binary`].
    pub async fn expect_binary(&mut self, expected: &[u8]) {
        self.reader.expect_binary(expected).await;
    }

    /// [`RawReader::expect_ping`].
    pub async fn expect_ping(&mut self, expected: &[u8]) {
        self.reader.expect_ping(expected).await;
    }

    /// [`RawReader::expect_pong`].
    pub async fn expect_pong(&mut self, expected: &[u8]) {
        self.reader.expect_pong(expected).await;
    }

    /// [`RawReader::expect_close`].
    pub async fn expect_close(&mut self, code: u16) -> String {
        self.reader.expect_close(code).await
    }

    /// [`RawReader::expect_empty_close`].
    pub async fn expect_empty_close(&mut self) {
        self.reader.expect_empty_close().await;
    }

    /// [`RawReader::expect_eof`].
    pub async fn expect_eof(&mut self) {
        self.reader.expect_eof().await;
    }

    /// [`RawReader::expect_end`].
    pub async fn expect_end(&mut self) -> RecvError {
        self.reader.expect_end().await
    }
}
