//! Messages that are sent on many connections.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{
    frame::{FrameHeader, MAX_HEADER_LEN},
    message::{Message, MessageKind},
};

/// A message that is prepared once and sent on many connections. A server builds its frame once. Where
/// messages are compressed without context takeover, it is compressed once for each window size, when the first
/// connection needs it. Clones share all of it.
///
/// A client masks each frame with a new key, so it sends a prepared message as any other message. So does a
/// connection with context takeover.
#[derive(Clone)]
pub struct PreparedMessage(Arc<Inner>);

struct Inner {
    kind: MessageKind,
    payload: Bytes,
    may_compress: bool,
    plain: OnceLock<Bytes>,
    /// By window bits, from 9 to 15; `None` inside if compression does not make it smaller.
    #[cfg(feature = "deflate")]
    compressed: [OnceLock<Option<Bytes>>; 7],
}

impl PreparedMessage {
    /// Prepares a message.
    #[must_use]
    pub fn new(message: impl Into<Message>) -> Self {
        Self::with(message.into(), true)
    }

    /// Prepares a message that is never compressed. Use it for a payload that is compressed already, such as an
    /// image, or that holds a secret next to data chosen by an attacker (RFC 7692 section 8).
    #[must_use]
    pub fn uncompressed(message: impl Into<Message>) -> Self {
        Self::with(message.into(), false)
    }

    fn with(message: Message, may_compress: bool) -> Self {
        let kind = message.kind();
        Self(Arc::new(Inner {
            kind,
            payload: message.into_bytes(),
            may_compress,
            plain: OnceLock::new(),
            #[cfg(feature = "deflate")]
            compressed: Default::default(),
        }))
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.0.kind
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    pub(crate) fn may_compress(&self) -> bool {
        self.0.may_compress
    }

    /// A server's complete frame, uncompressed.
    #[inline]
    pub(crate) fn plain_frame(&self) -> &Bytes {
        let Inner { kind, payload, plain, .. } = &*self.0;
        plain.get_or_init(|| frame(FrameHeader::new(kind.opcode(), 0, None), payload))
    }

    /// A server's complete frame, compressed for a window of `window_bits`; `None` if compression does not make it
    /// smaller. `deflate` is called at most once for each window size.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed_frame(
        &self,
        window_bits: u8,
        deflate: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Option<&Bytes> {
        let Inner { kind, payload, compressed, .. } = &*self.0;
        let slot = compressed.get(usize::from(window_bits.checked_sub(9)?))?;
        let make = || {
            let deflated = deflate(payload).filter(|deflated| deflated.len() < payload.len())?;
            let header = FrameHeader { rsv: crate::frame::RSV1, ..FrameHeader::new(kind.opcode(), 0, None) };
            Some(frame(header, &deflated))
        };
        slot.get_or_init(make).as_ref()
    }
}

fn frame(header: FrameHeader, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(MAX_HEADER_LEN + payload.len());
    FrameHeader { payload_len: payload.len() as u64, ..header }.append_to(&mut frame);
    frame.extend_from_slice(payload);
    frame.into()
}

/// Compares the kind and the payload.
impl PartialEq for PreparedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.payload() == other.payload()
    }
}

impl Eq for PreparedMessage {}

impl std::fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Payloads must not reach logs.
        write!(f, "PreparedMessage({:?}, {} bytes)", self.kind(), self.payload().len())
    }
}
