use std::fmt;

use bytes::Bytes;
use ws_proto::{Connection, TransmitQueue};

/// The parts of a connection, from [`WebSocket::into_parts`](crate::WebSocket::into_parts).
#[non_exhaustive]
pub struct Parts<S> {
    /// The transport.
    pub io: S,
    /// The state machine, with messages that were received and not taken, and with those that were sent and are not
    /// encoded yet.
    pub connection: Connection,
    /// Encoded bytes that are not written yet.
    pub transmit: TransmitQueue,
    /// Bytes from [`WebSocket::with_received`](crate::WebSocket::with_received) that are not parsed yet.
    pub received: Bytes,
}

/// Omits payloads, to keep them out of logs.
impl<S: fmt::Debug> fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("io", &self.io)
            .field("connection", &self.connection)
            .field("transmit", &self.transmit)
            .field("received_len", &self.received.len())
            .finish()
    }
}
