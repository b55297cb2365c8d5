use ws_proto::{CloseInfo, Completion, MessageRef, handshake::Rejection};

use crate::{admission::Request, connection::conn::Conn};

/// One connection of a server written with callbacks: the fastest way, with payloads lent from the receive buffer and
/// no allocation per message.
///
/// All callbacks of a connection run on its own task, one after the other; they must not block. What they send is
/// collected and written once, after everything that was received together has been handled.
///
/// Order: `accept` → (101 on the wire) → `on_open` → { `on_message` | `on_ping` | `on_pong` | `on_write_complete` |
/// `on_writable` }* → `on_close`. If the handshake fails after `accept`: `on_handshake_failed` and nothing else. A panic in a callback ends
/// its connection with 1011 and no other.
///
/// While the peer does not take what is written, no further message is delivered to a connection, so a handler that
/// answers each message with at most one need not care for [`WriteBusy`](ws_proto::SendError::WriteBusy);
/// [`ServerBuilder::read_while_blocked`](crate::ServerBuilder::read_while_blocked) turns that off.
pub trait Handler: Sized + 'static {
    /// What all connections share. Each shard gets a clone; an `Arc` if it is to be one and the same.
    type Context: Clone + Send + 'static;

    /// Accepts or rejects a request, before the 101 response. A connection slot is already reserved.
    ///
    /// # Errors
    /// The [`Rejection`] that is sent instead of the 101: any status, headers and body; 403 by default.
    fn accept(request: &mut Request, context: &Self::Context) -> Result<Self, Rejection>;

    /// The connection is open; nothing has been delivered yet.
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// A text or binary message. Its payload is lent for the length of the call. The connection may be closing already:
    /// what the peer sent is delivered after a failed write, and behind a Close of a [`Sender`](crate::Sender) or of the
    /// idle timeout until the peer's Close comes; then sends return `InvalidState`.
    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>);

    /// A ping. The default answers it, with the latest winning while the peer does not read; whoever overrides this
    /// answers with [`Conn::send_pong`] himself.
    fn on_ping(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        conn.answer_ping(payload);
    }

    /// A pong, asked for or not.
    fn on_pong(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        let _ = (conn, payload);
    }

    /// A send of an owned payload is done: exactly once for each that was accepted, in their order, never from within
    /// the send, and before `on_close`.
    fn on_write_complete(&mut self, conn: &mut Conn<'_>, completion: Completion) {
        let _ = (conn, completion);
    }

    /// A send was refused with [`WriteBusy`](ws_proto::SendError::WriteBusy), and now there is room again.
    fn on_writable(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// The connection is over; exactly once, last. Sends return `InvalidState`.
    fn on_close(&mut self, conn: &mut Conn<'_>, info: &CloseInfo) {
        let _ = (conn, info);
    }

    /// The handshake failed after `accept` succeeded: the 101 could not be written, or the server shuts down.
    fn on_handshake_failed(&mut self) {}
}
