//! Sending text and binary payloads, borrowed or owned.

use bytes::Bytes;
use ws_proto::{MessageKind, Utf8Bytes, error::SendError};

use super::conn::Conn;
use sealed::{Binary, Text};

/// A payload of a text message, for [`Conn::send_text`]: `&str`, `String` or [`Utf8Bytes`]. The trait is sealed.
///
/// A `&str` is copied into the write buffer. A `String` or [`Utf8Bytes`] is taken over without a copy, and
/// [`on_write_complete`](crate::Handler::on_write_complete) is called for it.
pub trait TextPayload: Text {}

/// A payload of a binary message, for [`Conn::send_binary`]: `&[u8]`, `&[u8; N]`, `Vec<u8>` or [`Bytes`]. The trait is
/// sealed.
///
/// A slice is copied into the write buffer. A `Vec<u8>` or [`Bytes`] is taken over without a copy, and
/// [`on_write_complete`](crate::Handler::on_write_complete) is called for it.
pub trait BinaryPayload: Binary {}

/// Users cannot name these traits, so they cannot implement those above.
#[expect(unnameable_types, reason = "this seals the traits above")]
mod sealed {
    use super::{Conn, SendError};

    pub trait Text: Sized {
        /// Queues the payload as a message.
        fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>>;
    }

    pub trait Binary: Sized {
        /// Queues the payload as a message.
        fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>>;
    }
}

impl Conn<'_> {
    /// Sends a text message.
    ///
    /// # Errors
    /// [`SendError::Closed`] unless the connection is open, [`SendError::Full`] at the limits of the write
    /// queue. Both return the payload.
    #[inline]
    pub fn send_text<P: TextPayload>(&mut self, text: P) -> Result<(), SendError<P>> {
        let sent = text.queue(self);
        self.note_refusal(&sent);
        sent
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    #[inline]
    pub fn send_binary<P: BinaryPayload>(&mut self, payload: P) -> Result<(), SendError<P>> {
        let sent = payload.queue(self);
        self.note_refusal(&sent);
        sent
    }
}

impl TextPayload for &str {}

impl Text for &str {
    #[inline]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        let sent = conn.send_lent(MessageKind::Text, self.as_bytes());
        sent.map_err(|error| error.map(|()| self))
    }
}

impl TextPayload for String {}

impl Text for String {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        Utf8Bytes::from(self).queue(conn).map_err(|error| error.map(Self::from))
    }
}

impl TextPayload for Utf8Bytes {}

impl Text for Utf8Bytes {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        // A refused payload comes back unchanged, so it is still UTF-8. Only a refusal pays for the check.
        conn.queue_owned(MessageKind::Text, self.into_bytes())
            .map_err(|error| error.map(|bytes| Self::try_from(bytes).unwrap_or_default()))
    }
}

impl BinaryPayload for &[u8] {}

impl Binary for &[u8] {
    #[inline]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        let sent = conn.send_lent(MessageKind::Binary, self);
        sent.map_err(|error| error.map(|()| self))
    }
}

impl<const N: usize> BinaryPayload for &[u8; N] {}

impl<const N: usize> Binary for &[u8; N] {
    #[inline]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        self.as_slice().queue(conn).map_err(|error| error.map(|_| self))
    }
}

impl BinaryPayload for Vec<u8> {}

impl Binary for Vec<u8> {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        Bytes::from(self).queue(conn).map_err(|error| error.map(Self::from))
    }
}

impl BinaryPayload for Bytes {}

impl Binary for Bytes {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        conn.queue_owned(MessageKind::Binary, self)
    }
}
