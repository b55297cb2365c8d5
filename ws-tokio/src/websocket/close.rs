//! Closes and aborts a WebSocket.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, CloseInfo, close::Initiator};

use super::WebSocket;
use crate::shared::lock;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Closes the connection with the closing handshake (RFC 6455 section 7) and returns how it ended.
    ///
    /// Messages that were sent before go out first, as long as the peer takes them (`write_timeout`). Then a Close
    /// frame goes out, and the peer has `close_timeout` to answer it. A reason over 123 bytes is cut at a character
    /// boundary. If the connection is already closing, this waits for its end.
    ///
    /// Messages that are held or still arrive are dropped. To receive them until the peer's Close, close with a
    /// [`Sender`](crate::Sender) or as a `Sink`, and call [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// The Close is queued at the first poll. To complete the handshake after the future was dropped, call `close`
    /// again, or [`recv`](Self::recv) until it returns `None`.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> CloseInfo {
        self.close_with(Some(code), reason).await
    }

    /// Closes the connection, as [`close`](Self::close) does, with an empty Close frame. The peer reports the code 1005
    /// (RFC 6455 section 7.1.5). A proxy passes on a Close without a code with it. To pass on an end without a Close
    /// frame, 1006, use [`abort`](Self::abort).
    ///
    /// # Cancel safety
    /// As [`close`](Self::close).
    pub async fn close_without_code(&mut self) -> CloseInfo {
        self.close_with(None, "").await
    }

    async fn close_with(&mut self, code: Option<CloseCode>, reason: &str) -> CloseInfo {
        // An error means that the connection is no longer open; then only its end is awaited.
        let _ = self.queue_left_over();
        self.drop_lent();
        lock(&self.shared).queue_close(code, reason);
        while self.recv().await.is_some() {}
        self.close_info().unwrap_or(CloseInfo::new(Initiator::Local))
    }
}

impl<S> WebSocket<S> {
    /// Ends the connection at once, without a Close frame, and drops the transport: the peer reports the code 1006
    /// (RFC 6455 section 7.1.5). What waits to be written is dropped, and so are received messages that were not taken.
    /// Then [`recv`](Self::recv) returns `None`, and [`close_info`](Self::close_info) has no error. Works on a
    /// connection that is closing, too; does nothing if it is over.
    pub fn abort(&mut self) {
        self.drop_lent();
        lock(&self.shared).abort();
    }

    /// Returns the `close_timeout` of a connection that has no `write_timeout`. `None` after its end.
    #[doc(hidden)]
    #[must_use]
    pub fn close_timeout_without_write_timeout(&self) -> Option<Duration> {
        let state = lock(&self.shared);
        let config = state.driver()?.connection().config();
        config.write_timeout.is_none().then_some(config.close_timeout)
    }
}
