use crate::error::ProtocolError;

use super::OpCode;

/// The longest header in bytes: 2, plus 8 of extended length and 4 of mask key.
pub const MAX_HEADER_LEN: usize = 14;
/// The most payload bytes a control frame may carry (RFC 6455 section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;
/// First reserved bit: "compressed" once permessage-deflate is negotiated (RFC 7692 section 6).
pub const RSV1: u8 = 0x40;
/// Second reserved bit; no supported extension uses it.
pub const RSV2: u8 = 0x20;
/// Third reserved bit; no supported extension uses it.
pub const RSV3: u8 = 0x10;

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this frame ends its message.
    pub fin: bool,
    /// The reserved bits at their position in the first byte: any of [`RSV1`], [`RSV2`], [`RSV3`].
    pub rsv: u8,
    /// What the frame carries.
    pub opcode: OpCode,
    /// The mask key, if the payload is masked (client to server).
    pub mask: Option<[u8; 4]>,
    /// Length of the payload in bytes, without the header.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Creates the header of a final frame without reserved bits.
    #[must_use]
    pub const fn new(opcode: OpCode, payload_len: u64, mask: Option<[u8; 4]>) -> Self {
        Self { fin: true, rsv: 0, opcode, mask, payload_len }
    }

    /// Decodes the header at the start of `bytes`. Returns `None` if more bytes are needed. The payload begins
    /// [`encoded_len`](Self::encoded_len) bytes later, because a header has only one valid encoding.
    ///
    /// What is invalid for every receiver is refused at the first byte that shows it: the opcode at the first byte, a
    /// control frame's length and fragmentation at the second, a non-minimal length and a set top bit with the
    /// extended length. The mask direction and the reserved bits depend on the connection, so the caller checks them.
    ///
    /// # Errors
    /// A [`ProtocolError`] if the header violates RFC 6455 section 5.2 or 5.5.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProtocolError> {
        Ok(Self::parse_with_len(bytes)?.map(|(header, _len)| header))
    }

    /// The same as [`parse`](Self::parse), and the header's length in bytes, which is known here.
    #[inline]
    pub(crate) fn parse_with_len(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let [b0, rest @ ..] = bytes else { return Ok(None) };
        let Some(opcode) = OpCode::from_bits(*b0) else {
            return Err(ProtocolError::ReservedOpcode(b0 & 0x0f));
        };
        let [b1, rest @ ..] = rest else { return Ok(None) };
        let fin = b0 & FIN != 0;
        let short_len = b1 & !MASK;
        if opcode.is_control() {
            check_control(fin, short_len)?;
        }
        let Some((payload_len, len_bytes)) = parse_len(short_len, rest)? else { return Ok(None) };
        let (mask, mask_bytes) = if b1 & MASK == 0 {
            (None, 0)
        } else {
            let Some(key) = rest[len_bytes..].first_chunk::<4>() else { return Ok(None) };
            (Some(*key), 4)
        };
        let header = Self { fin, rsv: b0 & (RSV1 | RSV2 | RSV3), opcode, mask, payload_len };
        Ok(Some((header, 2 + len_bytes + mask_bytes)))
    }

    /// Writes the header, with the shortest length encoding, into `out`; returns its length in bytes.
    #[inline]
    pub fn encode(&self, out: &mut [u8; MAX_HEADER_LEN]) -> usize {
        out[0] = (u8::from(self.fin) << 7) | self.rsv | self.opcode.bits();
        let mask_bit = if self.mask.is_some() { MASK } else { 0 };
        let mut len = 2;
        match self.payload_len {
            0..=125 => out[1] = mask_bit | self.payload_len as u8,
            126..=0xffff => {
                out[1] = mask_bit | LEN_16;
                out[2..4].copy_from_slice(&(self.payload_len as u16).to_be_bytes());
                len = 4;
            }
            _ => {
                out[1] = mask_bit | LEN_64;
                out[2..10].copy_from_slice(&self.payload_len.to_be_bytes());
                len = 10;
            }
        }
        if let Some(key) = self.mask {
            out[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        len
    }

    /// Appends the header to `out`. The usual lengths are constants, so the compiler inlines the copy of these few
    /// bytes.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; MAX_HEADER_LEN];
        match self.encode(&mut bytes) {
            2 => out.extend_from_slice(&bytes[..2]),
            4 => out.extend_from_slice(&bytes[..4]),
            len => out.extend_from_slice(&bytes[..len]),
        }
    }

    /// Appends a server's frame with a whole message: what [`append_to`](Self::append_to) writes, and the payload. The
    /// header is made of constants as far as possible, because this is done for each message.
    #[inline(always)]
    pub(crate) fn append_message(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve(MAX_HEADER_LEN + payload.len());
        let (first, len) = (FIN | opcode.bits(), payload.len());
        match len {
            0..=125 => out.extend_from_slice(&[first, len as u8]),
            126..=0xffff => {
                let [high, low] = (len as u16).to_be_bytes();
                out.extend_from_slice(&[first, LEN_16, high, low]);
            }
            _ => Self::new(opcode, len as u64, None).append_to(out),
        }
        out.extend_from_slice(payload);
    }

    /// Length in bytes of the header that [`encode`](Self::encode) writes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        let len = match self.payload_len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        if self.mask.is_some() { len + 4 } else { len }
    }
}

fn check_control(fin: bool, short_len: u8) -> Result<(), ProtocolError> {
    if usize::from(short_len) > MAX_CONTROL_PAYLOAD {
        return Err(ProtocolError::ControlFrameTooLong);
    }
    if !fin {
        return Err(ProtocolError::FragmentedControlFrame);
    }
    Ok(())
}

/// The payload length and the number of extended length bytes; `None` if more bytes are needed.
#[inline]
fn parse_len(short_len: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match short_len {
        LEN_16 => {
            let Some(bytes) = rest.first_chunk::<2>() else { return Ok(None) };
            let len = u64::from(u16::from_be_bytes(*bytes));
            if len < 126 { Err(ProtocolError::NonMinimalLength) } else { Ok(Some((len, 2))) }
        }
        LEN_64 => {
            // The first length byte has the top bit; there is no need to wait for the other seven.
            if rest.first().is_some_and(|first| first & 0x80 != 0) {
                return Err(ProtocolError::LengthTopBitSet);
            }
            let Some(bytes) = rest.first_chunk::<8>() else { return Ok(None) };
            let len = u64::from_be_bytes(*bytes);
            if len <= 0xffff { Err(ProtocolError::NonMinimalLength) } else { Ok(Some((len, 8))) }
        }
        short => Ok(Some((u64::from(short), 0))),
    }
}
