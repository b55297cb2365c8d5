//! What nodes send each other through the broker.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | kind: 1 publication, 2 joined, 3 left |
//! | 1 | flags: 1 text, 2 never compress, 4 member, 8 deadline, 16 key, 32 not kept; the others are 0 |
//! | 8 | node, big-endian: drawn at random when a process starts |
//! | 8 | sequence of the node, big-endian |
//! | 8 | member, big-endian, if its flag is set |
//! | 4 | deadline in milliseconds, big-endian, if its flag is set |
//! | 2 + n | length of the key, big-endian, and the key, if its flag is set |
//! | the rest | payload |
//!
//! Programs that are not nodes can publish too: they draw a number for themselves, encode an [`Envelope`] and publish
//! it as the broker's backplane does.

use std::{fmt, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use ws_server::{Message, message::Utf8Bytes};

#[cfg(test)]
mod tests;

/// The version of the format that this crate writes, and the only one that it reads.
pub const VERSION: u8 = 1;

/// Most bytes that an envelope adds to a payload without a key.
pub const MAX_OVERHEAD: usize = FIXED_LEN + MEMBER_LEN + DEADLINE_LEN;

/// Longest key, in bytes.
pub const MAX_KEY: usize = 65_535;

const FIXED_LEN: usize = 19;
const MEMBER_LEN: usize = 8;
const DEADLINE_LEN: usize = 4;

const TEXT: u8 = 1;
const UNCOMPRESSED: u8 = 2;
const MEMBER: u8 = 4;
const DEADLINE: u8 = 8;
const KEY: u8 = 16;
const TRANSIENT: u8 = 32;
const KNOWN: u8 = TEXT | UNCOMPRESSED | MEMBER | DEADLINE | KEY | TRANSIENT;

/// A publication or a change of presence, with what the receiving nodes need to know about it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// What it is.
    pub kind: Kind,
    /// The node that published it.
    pub node: u64,
    /// Counts what the node publishes, over all topics.
    pub sequence: u64,
    /// Of a publication: the member of the publishing node that does not get it. Of a change of presence: who it is.
    pub member: Option<u64>,
    /// The longest time that it waits for a slow member, from its arrival at a node. Sent in whole
    /// milliseconds, rounded up.
    pub deadline: Option<Duration>,
    /// Publications with the same key replace each other while they wait for a member that takes the latest per key.
    pub key: Option<Bytes>,
    /// Whether it may be compressed on its way to members.
    pub may_compress: bool,
    /// Whether the histories of topics keep it.
    pub is_kept: bool,
    /// What members get, or the data of a member's presence.
    pub message: Message,
}

/// What an envelope carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A message for the topic's members.
    Publication,
    /// A member with presence joined the topic.
    Joined,
    /// A member with presence left the topic.
    Left,
}

/// Why bytes are not an envelope, or cannot become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It ends too early.
    #[error("the envelope has {len} bytes and needs {needed}")]
    Truncated {
        /// Its length in bytes.
        len: usize,
        /// The bytes that its head asks for.
        needed: usize,
    },
    /// Another version of the format.
    #[error("the envelope has version {0}, not {VERSION}")]
    Version(u8),
    /// An unknown kind.
    #[error("the envelope has the unknown kind {0}")]
    Kind(u8),
    /// Flags that version 1 does not have.
    #[error("the envelope has unknown flags: {0:#04x}")]
    Flags(u8),
    /// Text that is not UTF-8.
    #[error("the envelope has text that is not UTF-8")]
    NotUtf8,
    /// The key is too long.
    #[error("the key has {0} bytes, the limit is {MAX_KEY}")]
    KeyTooLong(usize),
}

impl Envelope {
    /// A publication without a key, a deadline or an excepted member.
    pub fn publication(node: u64, sequence: u64, message: impl Into<Message>) -> Self {
        Self::new(Kind::Publication, node, sequence, message.into())
    }

    pub(crate) const fn new(kind: Kind, node: u64, sequence: u64, message: Message) -> Self {
        Self {
            kind,
            node,
            sequence,
            member: None,
            deadline: None,
            key: None,
            may_compress: true,
            is_kept: true,
            message,
        }
    }

    /// The bytes for the broker. Copies the payload.
    ///
    /// # Errors
    /// [`EnvelopeError::KeyTooLong`].
    pub fn encode(&self) -> Result<Bytes, EnvelopeError> {
        let key_len = self.key.as_ref().map(Bytes::len);
        let short_len =
            key_len.map(|len| u16::try_from(len).map_err(|_| EnvelopeError::KeyTooLong(len))).transpose()?;
        let len = MAX_OVERHEAD + key_len.map_or(0, |len| len + 2) + self.message.len();
        let mut bytes = BytesMut::with_capacity(len);
        bytes.put_u8(VERSION);
        bytes.put_u8(self.kind.code());
        bytes.put_u8(self.flags());
        bytes.put_u64(self.node);
        bytes.put_u64(self.sequence);
        if let Some(member) = self.member {
            bytes.put_u64(member);
        }
        if let Some(deadline) = self.deadline {
            let millis = deadline.as_nanos().div_ceil(1_000_000);
            bytes.put_u32(u32::try_from(millis).unwrap_or(u32::MAX));
        }
        if let (Some(len), Some(key)) = (short_len, &self.key) {
            bytes.put_u16(len);
            bytes.put_slice(key);
        }
        bytes.put_slice(self.message.as_bytes());
        Ok(bytes.freeze())
    }

    fn flags(&self) -> u8 {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        flag(self.message.is_text(), TEXT)
            | flag(!self.may_compress, UNCOMPRESSED)
            | flag(self.member.is_some(), MEMBER)
            | flag(self.deadline.is_some(), DEADLINE)
            | flag(self.key.is_some(), KEY)
            | flag(!self.is_kept, TRANSIENT)
    }

    /// Reads an envelope. Its key and payload are parts of `bytes`, without a copy.
    ///
    /// # Errors
    /// [`EnvelopeError`], whatever the bytes are; it never panics.
    pub fn decode(bytes: &Bytes) -> Result<Self, EnvelopeError> {
        let mut reader = Reader { bytes, position: 0 };
        // The version comes first: another one may have another length.
        let [version] = reader.array()?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let [kind, flags] = reader.array()?;
        let kind = Kind::from_code(kind)?;
        if flags & !KNOWN != 0 {
            return Err(EnvelopeError::Flags(flags));
        }
        let node = u64::from_be_bytes(reader.array()?);
        let sequence = u64::from_be_bytes(reader.array()?);
        let mut envelope = Self::new(kind, node, sequence, Message::Binary(Bytes::new()));
        envelope.may_compress = flags & UNCOMPRESSED == 0;
        envelope.is_kept = flags & TRANSIENT == 0;
        if flags & MEMBER != 0 {
            envelope.member = Some(u64::from_be_bytes(reader.array()?));
        }
        if flags & DEADLINE != 0 {
            envelope.deadline = Some(Duration::from_millis(u32::from_be_bytes(reader.array()?).into()));
        }
        if flags & KEY != 0 {
            let len = u16::from_be_bytes(reader.array()?);
            envelope.key = Some(reader.take(len.into())?);
        }
        let payload = reader.rest();
        envelope.message = if flags & TEXT == 0 {
            Message::Binary(payload)
        } else {
            Message::Text(Utf8Bytes::try_from(payload).map_err(|_| EnvelopeError::NotUtf8)?)
        };
        Ok(envelope)
    }
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Publication => 1,
            Self::Joined => 2,
            Self::Left => 3,
        }
    }

    const fn from_code(code: u8) -> Result<Self, EnvelopeError> {
        match code {
            1 => Ok(Self::Publication),
            2 => Ok(Self::Joined),
            3 => Ok(Self::Left),
            _ => Err(EnvelopeError::Kind(code)),
        }
    }
}

struct Reader<'a> {
    bytes: &'a Bytes,
    position: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], EnvelopeError> {
        let array = self.bytes.get(self.position..).and_then(<[u8]>::first_chunk).copied();
        let array = array.ok_or_else(|| self.truncated(N))?;
        self.position += N;
        Ok(array)
    }

    fn take(&mut self, len: usize) -> Result<Bytes, EnvelopeError> {
        if self.bytes.len() - self.position < len {
            return Err(self.truncated(len));
        }
        let start = self.position;
        self.position += len;
        Ok(self.bytes.slice(start..self.position))
    }

    fn rest(&self) -> Bytes {
        self.bytes.slice(self.position..)
    }

    fn truncated(&self, more: usize) -> EnvelopeError {
        EnvelopeError::Truncated { len: self.bytes.len(), needed: self.position + more }
    }
}

/// Prints no payload and no key.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("kind", &self.kind)
            .field("node", &format_args!("{:016x}", self.node))
            .field("sequence", &self.sequence)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
