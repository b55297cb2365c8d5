//! A second implementation of the wire format, so that a mistake in the library's encoder is not hidden by its decoder.

pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    /// RSV1: the frame begins a compressed message (RFC 7692 section 6).
    pub(crate) compressed: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, compressed: false, opcode, payload: payload.into() }
    }

    pub(crate) fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::TEXT, payload)
    }

    pub(crate) fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::BINARY, payload)
    }

    pub(crate) fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PING, payload)
    }

    pub(crate) fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PONG, payload)
    }

    pub(crate) fn close(code: u16, reason: &str) -> Self {
        Self::new(opcode::CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// The same payload in two fragments.
    pub(crate) fn in_two(self, at: usize) -> [Self; 2] {
        let (first, second) = self.payload.split_at(at);
        let rest = Self::new(opcode::CONTINUATION, second);
        [Self { fin: false, payload: first.to_vec(), ..self }, rest]
    }

    pub(crate) fn is_data(&self) -> bool {
        self.opcode <= opcode::BINARY
    }

    pub(crate) fn encode(&self, masked: bool) -> Vec<u8> {
        const KEY: [u8; 4] = [0xA1, 0x5C, 0x03, 0xF7];
        let mask_bit = if masked { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(self.fin) << 7 | u8::from(self.compressed) << 6 | self.opcode];
        match self.payload.len() {
            len @ ..126 => bytes.push(mask_bit | len as u8),
            len @ ..0x1_0000 => {
                bytes.push(mask_bit | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(mask_bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend(KEY);
            bytes.extend(self.payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

/// Decodes frames as bytes arrive; panics at the first violation.
#[derive(Debug)]
pub(crate) struct Decoder {
    masked: bool,
    bytes: Vec<u8>,
    in_message: bool,
    closed: bool,
}

impl Decoder {
    pub(crate) fn new(masked: bool) -> Self {
        Self { masked, bytes: Vec::new(), in_message: false, closed: false }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.bytes.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some((frame, len)) = decode(&self.bytes[at..], self.masked) {
            at += len;
            self.check_order(&frame);
            frames.push(frame);
        }
        self.bytes.drain(..at);
        frames
    }

    /// Whether every byte so far belongs to a complete frame.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.bytes.is_empty()
    }

    fn check_order(&mut self, frame: &Frame) {
        assert!(!self.closed, "after the Close: {frame:?}");
        self.closed = frame.opcode == opcode::CLOSE;
        if frame.is_data() {
            let continues = frame.opcode == opcode::CONTINUATION;
            assert_eq!(continues, self.in_message, "out of order: {frame:?}");
            self.in_message = !frame.fin;
        }
    }
}

fn decode(bytes: &[u8], masked: bool) -> Option<(Frame, usize)> {
    let &[first, second, ..] = bytes else { return None };
    let (extended, least) = match second & 0x7F {
        126 => (2, 126),
        127 => (8, 0x1_0000),
        _ => (0, 0),
    };
    let mut at = 2 + extended;
    let len = match bytes.get(2..at)? {
        [] => u64::from(second & 0x7F),
        long => long.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    let (opcode, control) = (first & 0x0F, first & 0x08 != 0);
    assert_eq!(second & 0x80 != 0, masked, "wrong masking for the role");
    let compressed = first & 0x40 != 0;
    assert!(first & 0x30 == 0 && matches!(opcode, 0..=2 | 8..=10), "first byte {first:#04x}");
    assert!(!compressed || matches!(opcode, opcode::TEXT | opcode::BINARY), "first byte {first:#04x}");
    assert!(len >= least, "length {len} not minimally encoded");
    assert!(!control || (len <= 125 && first & 0x80 != 0), "control frame of {len} bytes");
    let mut key = [0; 4];
    if masked {
        key.copy_from_slice(bytes.get(at..at + 4)?);
        at += 4;
    }
    let end = at + len as usize;
    let payload = bytes.get(at..end)?.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some((Frame { fin: first & 0x80 != 0, compressed, opcode, payload }, end))
}
