//! The sending half.

use super::{RawFrame, Side, within};
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

/// Sends frames and any other bytes.
#[derive(Debug)]
pub struct RawWriter {
    stream: OwnedWriteHalf,
    side: Side,
}

impl RawWriter {
    pub(super) fn new(stream: OwnedWriteHalf, side: Side) -> Self {
        Self { stream, side }
    }

    /// The bytes that this end sends for the frame.
    pub fn encode(&self, frame: &RawFrame) -> Vec<u8> {
        frame.encode(self.side)
    }

    /// Sends one frame.
    ///
    /// # Panics
    /// When the peer does not read it.
    pub async fn send(&mut self, frame: RawFrame) {
        self.send_bytes(self.encode(&frame)).await;
    }

    /// Sends several frames with one write. They normally arrive with one read.
    ///
    /// # Panics
    /// When the peer does not read them.
    pub async fn send_together(&mut self, frames: &[RawFrame]) {
        let bytes: Vec<Vec<u8>> = frames.iter().map(|frame| self.encode(frame)).collect();
        self.send_bytes(bytes.concat()).await;
    }

    /// Sends these bytes unchanged: part of a frame, an HTTP head, or garbage.
    ///
    /// # Panics
    /// When the peer does not read them.
    pub async fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if let Err(error) = self.try_send_bytes(bytes).await {
            panic!("sending {} bytes: {error}", bytes.len());
        }
    }

    /// Sends bytes to a peer that may close the connection before it has read them all.
    ///
    /// # Errors
    /// When the peer has closed or reset the connection.
    ///
    /// # Panics
    /// When the peer neither reads nor closes within the deadline.
    pub async fn try_send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the peer takes the bytes", self.stream.write_all(bytes.as_ref())).await
    }

    /// Sends bytes in pieces of at most `size`, each with its own write, and lets other tasks run between them.
    ///
    /// # Panics
    /// When the peer does not read them.
    pub async fn send_in_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        for piece in bytes.as_ref().chunks(size) {
            self.send_bytes(piece).await;
            tokio::task::yield_now().await;
        }
    }

    /// Ends the sending direction (FIN); receiving continues.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("the connection still exists");
    }

    /// Closes the socket with a reset (RST). The kernel discards unsent bytes.
    pub(super) fn reset(self) {
        self.stream.as_ref().set_zero_linger().expect("a TCP socket has this option");
        // Dropping the half would send a FIN first.
        self.stream.forget();
    }
}
