//! Encoding of a peer's frames, valid or not, and decoding of sent frames. It is written from RFC 6455 section 5.2
//! alone and shares no code with the crate, so an error there cannot go unnoticed here.

use std::collections::VecDeque;

pub(super) const FIN: u8 = 0x80;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// A frame to be received. The receiver's role decides whether it is masked, unless the test asks for the wrong mask.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    first_byte: u8,
    payload: Vec<u8>,
    announced: u64,
    form: Form,
    wrong_mask: bool,
    key: [u8; 4],
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Shortest,
    In16Bits,
    In64Bits,
}

pub(super) fn frame(opcode: u8, payload: &[u8]) -> Frame {
    Frame {
        first_byte: 0x80 | opcode,
        payload: payload.to_vec(),
        announced: payload.len() as u64,
        form: Form::Shortest,
        wrong_mask: false,
        key: [0x37, 0xfa, 0x21, 0x3d],
    }
}

pub(super) fn text(payload: impl AsRef<[u8]>) -> Frame {
    frame(TEXT, payload.as_ref())
}

pub(super) fn binary(payload: impl AsRef<[u8]>) -> Frame {
    frame(BINARY, payload.as_ref())
}

pub(super) fn continuation(payload: impl AsRef<[u8]>) -> Frame {
    frame(CONTINUATION, payload.as_ref())
}

pub(super) fn ping(payload: impl AsRef<[u8]>) -> Frame {
    frame(PING, payload.as_ref())
}

pub(super) fn pong(payload: impl AsRef<[u8]>) -> Frame {
    frame(PONG, payload.as_ref())
}

pub(super) fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    frame(CLOSE, &[&code.to_be_bytes()[..], reason.as_ref()].concat())
}

pub(super) fn empty_close() -> Frame {
    frame(CLOSE, b"")
}

impl Frame {
    pub(super) fn not_final(mut self) -> Self {
        self.first_byte &= 0x7f;
        self
    }

    pub(super) fn with_reserved_bits(mut self, bits: u8) -> Self {
        self.first_byte |= bits;
        self
    }

    pub(super) fn with_key(mut self, key: [u8; 4]) -> Self {
        self.key = key;
        self
    }

    /// Masks a frame to a client, or leaves a frame to a server unmasked.
    pub(super) fn masked_wrongly(mut self) -> Self {
        self.wrong_mask = true;
        self
    }

    pub(super) fn length_in_16_bits(mut self) -> Self {
        self.form = Form::In16Bits;
        self
    }

    pub(super) fn length_in_64_bits(mut self) -> Self {
        self.form = Form::In64Bits;
        self
    }

    /// Announces a length that may differ from the payload's.
    pub(super) fn announcing(mut self, length: u64) -> Self {
        self.announced = length;
        self
    }

    /// Encodes the frame, to a server or to a client.
    pub(super) fn encode(&self, to_server: bool) -> Vec<u8> {
        let masked = to_server != self.wrong_mask;
        let mut out = vec![self.first_byte];
        let mask_bit = u8::from(masked) << 7;
        match (self.form, self.announced) {
            (Form::Shortest, length @ 0..=125) => out.push(mask_bit | length as u8),
            (Form::In16Bits, length) | (Form::Shortest, length @ 126..=0xffff) => {
                out.push(mask_bit | 126);
                out.extend((length as u16).to_be_bytes());
            }
            (Form::In64Bits | Form::Shortest, length) => {
                out.push(mask_bit | 127);
                out.extend(length.to_be_bytes());
            }
        }
        if masked {
            out.extend(self.key);
            out.extend(self.payload.iter().zip(self.key.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            out.extend(&self.payload);
        }
        out
    }
}

/// A frame that was sent, decoded.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) opcode: u8,
    /// FIN and the reserved bits.
    pub(super) flags: u8,
    pub(super) payload: Vec<u8>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = &self.payload[..self.payload.len().min(40)];
        write!(
            f,
            "opcode {} with {} bytes {:?}",
            self.opcode,
            self.payload.len(),
            String::from_utf8_lossy(head)
        )
    }
}

/// The bytes that a connection wrote. It checks the rules for every sent byte: no reserved bit and one frame per
/// message, unless it may compress; the shortest length; a mask from a client and only from a client; nothing after a
/// Close.
#[derive(Debug)]
pub(super) struct Outbound {
    by_client: bool,
    /// Whether messages may be compressed, and then fragmented.
    pub(super) may_compress: bool,
    undecoded: Vec<u8>,
    frames: VecDeque<Sent>,
    close_seen: bool,
    pub(super) keys: Vec<[u8; 4]>,
    /// Every byte ever written.
    pub(super) bytes: Vec<u8>,
}

impl Outbound {
    pub(super) const fn new(by_client: bool) -> Self {
        Self {
            by_client,
            may_compress: false,
            undecoded: Vec::new(),
            frames: VecDeque::new(),
            close_seen: false,
            keys: Vec::new(),
            bytes: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        assert!(!self.close_seen, "bytes after a Close: {bytes:?}");
        self.bytes.extend(bytes);
        self.undecoded.extend(bytes);
        while let Some((sent, length)) = self.decode() {
            self.undecoded.drain(..length);
            self.close_seen = sent.opcode == CLOSE;
            self.frames.push_back(sent);
            assert!(!self.close_seen || self.undecoded.is_empty(), "bytes after a Close");
        }
    }

    pub(super) fn pop(&mut self) -> Option<Sent> {
        self.frames.pop_front()
    }

    /// Whether the last byte completed a frame.
    pub(super) fn ends_between_frames(&self) -> bool {
        self.undecoded.is_empty()
    }

    fn decode(&mut self) -> Option<(Sent, usize)> {
        let bytes = &self.undecoded;
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let opcode = first & 0x0f;
        if self.may_compress && opcode <= BINARY {
            assert_eq!(first & 0x30, 0, "RSV2 and RSV3: {first:#04x}");
            assert!(opcode != CONTINUATION || first & 0x40 == 0, "RSV1 on a continuation");
        } else {
            assert_eq!(first & 0xf0, 0x80, "FIN and no reserved bit: {first:#04x}");
            assert!([TEXT, BINARY, CLOSE, PING, PONG].contains(&opcode), "opcode {opcode}");
        }
        assert_eq!(second & 0x80 != 0, self.by_client, "mask bit");
        let (length, mut at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let shortest = if length <= 125 {
            2
        } else if length <= 0xffff {
            4
        } else {
            10
        };
        assert_eq!(at, shortest, "the shortest form of length {length}");
        assert!(opcode < 8 || length <= 125, "control frame of {length} bytes");
        let mut key = [0; 4];
        if self.by_client {
            key = *bytes.get(at..at + 4)?.first_chunk()?;
            at += 4;
        }
        let end = at + length as usize;
        let mut payload = bytes.get(at..end)?.to_vec();
        if self.by_client {
            payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            self.keys.push(key);
        }
        Some((Sent { opcode, flags: first & 0xf0, payload }, end))
    }
}
