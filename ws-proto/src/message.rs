//! Messages, the unit that applications exchange (RFC 6455 section 5.6). Control frames are not messages.

use std::fmt;

use bytes::Bytes;

use crate::{
    frame::OpCode,
    memory::{PooledBuffer, ReceiveBuffer},
    utf8::{Utf8Bytes, is_valid_utf8, str_from_validated},
};

mod convert;

/// Text or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Text, which is UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl MessageKind {
    /// The kind of the messages that frames with this opcode begin.
    pub(crate) const fn from_opcode(opcode: OpCode) -> Option<Self> {
        match opcode {
            OpCode::Text => Some(Self::Text),
            OpCode::Binary => Some(Self::Binary),
            _ => None,
        }
    }

    pub(crate) const fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

/// An owned message. Cloning does not copy the payload.
///
/// | from | to | how |
/// |---|---|---|
/// | `&str`, `&String` | text | `Message::from`, copies |
/// | `String`, `Box<str>`, `Cow<str>`, [`Utf8Bytes`] | text | `Message::from`, without a copy of what is owned |
/// | `&[u8]`, `&[u8; N]`, `&Vec<u8>` | binary | `Message::from`, copies |
/// | `Vec<u8>`, `Box<[u8]>`, [`Bytes`], [`BytesMut`](bytes::BytesMut) | binary | `Message::from`, without a copy |
/// | a message | `Option<&str>`, `&[u8]` | [`as_text`](Self::as_text), [`as_bytes`](Self::as_bytes) |
/// | a message | `Result<Utf8Bytes, Message>`, [`Bytes`] | [`into_text`](Self::into_text), [`into_bytes`](Self::into_bytes), without a copy |
/// | a message | `String`, `Vec<u8>` | `String::from` of its [`Utf8Bytes`], `Vec::from` of its [`Bytes`] |
///
/// A message equals a `str` or `String` if it is text with these characters, and a slice, `Vec` or [`Bytes`] if it is
/// binary with these bytes.
///
/// The variants are final: RFC 6455 reserves opcodes for others, but assigns none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// Text, valid UTF-8.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::Binary(payload.into())
    }

    /// Text or binary.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// A received message of this `kind`; `validated` says whether its text was checked as it arrived. If it was not,
    /// it is checked here, and is binary if it is not valid.
    #[inline]
    pub(crate) fn received(kind: MessageKind, validated: bool, payload: Bytes) -> Self {
        match (kind, validated) {
            (MessageKind::Binary, _) => Self::Binary(payload),
            (MessageKind::Text, true) => Self::Text(Utf8Bytes::from_validated(payload)),
            (MessageKind::Text, false) if is_valid_utf8(&payload) => {
                Self::Text(Utf8Bytes::from_validated(payload))
            }
            (MessageKind::Text, false) => Self::Binary(payload),
        }
    }

    /// Whether this is text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether this is binary.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// The payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text; `None` if this is binary.
    #[doc(alias = "to_text")]
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The text, without a copy.
    ///
    /// # Errors
    /// The message itself if it is binary.
    pub fn into_text(self) -> Result<Utf8Bytes, Self> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Binary(_) => Err(self),
        }
    }

    /// The payload, without a copy.
    #[doc(alias = "into_data")]
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Prints the kind and the length. Payloads must not reach logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Text(_) => "Text",
            Self::Binary(_) => "Binary",
        };
        write!(f, "{name}({} bytes)", self.len())
    }
}

/// A received message, lent for the duration of a call. Its payload is in a buffer that is reused afterwards.
pub struct MessageRef<'a> {
    kind: MessageKind,
    validated: bool,
    payload: Payload<'a>,
}

/// Prints the kind and the length. Payloads must not reach logs.
impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} bytes)", self.kind, self.len())
    }
}

/// Where the payload is stored.
enum Payload<'a> {
    /// In the receive buffer.
    Lent(&'a [u8]),
    /// In the receive buffer, and large enough to be detached together with the window.
    Window { rx: &'a mut ReceiveBuffer, start: usize, len: usize },
    /// In its own buffer, which can be taken without a copy.
    Assembled(&'a mut PooledBuffer),
}

impl<'a> MessageRef<'a> {
    pub(crate) const fn lent(kind: MessageKind, validated: bool, payload: &'a [u8]) -> Self {
        Self { kind, validated, payload: Payload::Lent(payload) }
    }

    pub(crate) const fn window(
        kind: MessageKind,
        validated: bool,
        rx: &'a mut ReceiveBuffer,
        start: usize,
        len: usize,
    ) -> Self {
        Self { kind, validated, payload: Payload::Window { rx, start, len } }
    }

    pub(crate) const fn assembled(kind: MessageKind, validated: bool, buffer: &'a mut PooledBuffer) -> Self {
        Self { kind, validated, payload: Payload::Assembled(buffer) }
    }

    /// Text or binary.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Whether this is text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self.kind, MessageKind::Text)
    }

    /// Whether this is binary.
    #[must_use]
    pub const fn is_binary(&self) -> bool {
        matches!(self.kind, MessageKind::Binary)
    }

    /// The payload.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::Lent(bytes) => bytes,
            Payload::Window { rx, start, len } => rx.processed(*start, *len),
            Payload::Assembled(buffer) => buffer,
        }
    }

    /// The text; `None` if this is binary, or if validation is off and it is not valid UTF-8. With validation off, each
    /// call checks the payload.
    #[doc(alias = "to_text")]
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match (self.kind, self.validated) {
            (MessageKind::Binary, _) => None,
            (MessageKind::Text, true) => Some(str_from_validated(self.as_bytes())),
            (MessageKind::Text, false) => std::str::from_utf8(self.as_bytes()).ok(),
        }
    }

    /// The payload, owned. There is no copy if the message was assembled in its own buffer (large or fragmented), or
    /// if it fills at least half of the receive buffer. A smaller message is copied.
    #[inline]
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.payload {
            // `Bytes::copy_from_slice` does the same by way of a vector.
            Payload::Lent(bytes) => Bytes::from(Box::<[u8]>::from(bytes)),
            Payload::Window { rx, start, len } => rx.detach(start, len).into_bytes(),
            Payload::Assembled(buffer) => std::mem::take(buffer).into_bytes(),
        }
    }

    /// The payload in a buffer of its own; it is copied in the same cases as [`into_bytes`](Self::into_bytes).
    pub(crate) fn into_buffer(self) -> PooledBuffer {
        match self.payload {
            Payload::Lent(bytes) => PooledBuffer::from(bytes.to_vec()),
            Payload::Window { rx, start, len } => rx.detach(start, len),
            Payload::Assembled(buffer) => std::mem::take(buffer).trimmed(),
        }
    }

    /// The message, owned; it is copied in the same cases as [`into_bytes`](Self::into_bytes). With
    /// [`Config::validate_utf8`](crate::Config::validate_utf8) off, text is checked here, and is binary if it is not
    /// valid UTF-8.
    #[inline]
    #[must_use]
    pub fn into_message(self) -> Message {
        let (kind, validated) = (self.kind, self.validated);
        Message::received(kind, validated, self.into_bytes())
    }

    /// Whether text was checked as it arrived. For `ws-tokio`.
    #[doc(hidden)]
    #[must_use]
    pub const fn is_validated(&self) -> bool {
        self.validated
    }

    /// Whether the payload is in its own buffer and not in the receive buffer.
    #[must_use]
    pub const fn is_assembled(&self) -> bool {
        matches!(self.payload, Payload::Assembled(_))
    }

    /// Length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{BufferPool, TransmitQueue};

    #[test]
    fn debug_output_of_a_message_is_its_kind_and_length() {
        for (message, printed) in
            [(Message::text("secret"), "Text(6 bytes)"), (Message::binary(&b"secret"[..]), "Binary(6 bytes)")]
        {
            assert_eq!(format!("{message:?}"), printed);
        }
        let lent = MessageRef::lent(MessageKind::Text, true, b"secret");
        assert_eq!(format!("{lent:?}"), "Text(6 bytes)");
    }

    #[test]
    fn debug_output_of_a_buffer_has_no_payload() {
        let mut receive = ReceiveBuffer::new(256, BufferPool::default());
        receive.extend(b"secret");
        let mut transmit = TransmitQueue::new();
        transmit.push_slice(b"secret");
        transmit.push_bytes(Bytes::from_static(b"secret"));
        let mut assembled = PooledBuffer::default();
        assembled.reserve_total(6, 6).unwrap();
        assembled.extend_from_slice(b"secret");
        let printed = format!("{receive:?} {transmit:?} {assembled:?}");
        assert!(!printed.contains("secret") && !printed.contains("115, 101"), "{printed}");
    }
}
