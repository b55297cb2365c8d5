//! The callbacks of a server's connection.

use ws_proto::{CloseInfo, Completion, MessageRef, handshake::Rejection};

use crate::admission::Request;

use super::conn::Conn;

/// A connection of a server that is written with callbacks.
///
/// This is the fastest way to write a server: payloads are borrowed from the receive buffer, and a message costs no
/// allocation.
///
/// The callbacks of a connection run one after the other. They must not block, because other connections run on the
/// same thread. What they send is collected and written together, after the callbacks for everything that was received
/// together have returned.
///
/// # Order
/// 1. [`accept`](Self::accept), then the 101 response is written;
/// 2. [`on_open`](Self::on_open);
/// 3. any number of [`on_message`](Self::on_message), [`on_ping`](Self::on_ping), [`on_pong`](Self::on_pong),
///    [`on_write_complete`](Self::on_write_complete) and [`on_writable`](Self::on_writable);
/// 4. [`on_close`](Self::on_close).
///
/// If the handshake fails after `accept`, [`on_handshake_failed`](Self::on_handshake_failed) is called and nothing
/// else.
///
/// # Panics
/// A panic in a callback closes its connection with 1011. Other connections continue.
///
/// # Backpressure
/// While the peer does not take what is written, no further message is delivered. So a handler that answers each
/// message with at most one message does not have to handle [`Full`](ws_proto::error::SendError::Full).
/// [`ServerBuilder::read_while_blocked`](crate::ServerBuilder::read_while_blocked) turns this off.
///
/// A member of [topics](mod@crate::topics) has to handle `Full`: publications go out before what is sent after them,
/// and may take the room.
pub trait Handler: Sized + 'static {
    /// What all connections share. Each shard gets a clone; use an `Arc` for a value that exists once.
    type Context: Clone + Send + 'static;

    /// Accepts or rejects a request, before the 101 response. The connection already counts against the limits.
    ///
    /// # Errors
    /// The [`Rejection`] that is sent instead of the 101, with any status, headers and body. The default status is 403.
    fn accept(request: &mut Request, context: &Self::Context) -> Result<Self, Rejection>;

    /// The connection is open, and nothing has been delivered yet.
    fn on_open(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// A text or binary message. Its payload is borrowed for the length of the call.
    ///
    /// The connection may be closing already: messages that the peer sent are delivered after a failed write. After a
    /// Close of a [`Sender`](crate::Sender), or of the idle timeout, they are delivered until the peer's Close. Sends
    /// then return `Closed`.
    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>);

    /// A ping (RFC 6455 section 5.5.2). The default answers it as [`Conn::answer_ping`] does, if
    /// [`Config::auto_pong`](ws_proto::Config::auto_pong) is set: while the peer does not read, only the latest ping is
    /// answered. With `auto_pong` off, the default does nothing.
    ///
    /// An implementation of your own replaces the default. It has to send the pong itself, also if `auto_pong` is set.
    ///
    /// Pings are not answered while the connection is closing; those that the peer sent until its Close are delivered
    /// as messages are.
    fn on_ping(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        conn.answer_ping_if_automatic(payload);
    }

    /// A pong, as an answer to a ping or unsolicited.
    fn on_pong(&mut self, conn: &mut Conn<'_>, payload: &[u8]) {
        let _ = (conn, payload);
    }

    /// An owned payload is written, or given up with its connection. It is called exactly once for each accepted
    /// payload, in the order of the sends, before `on_close`, and never from within the send.
    fn on_write_complete(&mut self, conn: &mut Conn<'_>, completion: Completion) {
        let _ = (conn, completion);
    }

    /// A send was refused with [`Full`](ws_proto::error::SendError::Full), and now there is room again.
    fn on_writable(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// The connection has ended. It is the last callback, and is called exactly once. Sends return `Closed`.
    fn on_close(&mut self, conn: &mut Conn<'_>, info: &CloseInfo) {
        let _ = (conn, info);
    }

    /// The handshake failed after `accept` had succeeded: the 101 could not be written, the server is shutting down, or
    /// a [`Reservation`](crate::adopt::Reservation) was dropped or has expired.
    fn on_handshake_failed(&mut self) {}
}
