//! Frames to send. They are legal by default, and a test can make them illegal in every way.

use super::Side;

/// The opcodes of RFC 6455.
pub mod opcode {
    /// A further fragment of a message.
    pub const CONTINUATION: u8 = 0;
    /// A text message or its first fragment.
    pub const TEXT: u8 = 1;
    /// A binary message or its first fragment.
    pub const BINARY: u8 = 2;
    /// Close.
    pub const CLOSE: u8 = 8;
    /// Ping.
    pub const PING: u8 = 9;
    /// Pong.
    pub const PONG: u8 = 10;
}

/// Whether and how a frame is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// As the sender's role requires.
    ByRole,
    /// Masked with this key, in either role.
    Key([u8; 4]),
    /// Not masked, in either role.
    Absent,
}

/// The length that the header declares, and which of the three forms it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// The payload's length in the shortest form.
    OfPayload,
    /// In 7 bits of the second byte. 126 and 127 announce an extended length, which does not follow.
    Bits7(u8),
    /// In 16 bits, even if a shorter form is enough.
    Bits16(u16),
    /// In 64 bits, even if a shorter form is enough or the top bit is set.
    Bits64(u64),
}

/// One frame to send. [`RawFrame::encode`] encodes every value, legal or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// FIN: this is the last fragment of its message.
    pub fin: bool,
    /// RSV1 to RSV3.
    pub rsv: [bool; 3],
    /// The opcode. Only its lower four bits are sent.
    pub opcode: u8,
    /// Whether and how it is masked.
    pub mask: Mask,
    /// The declared length.
    pub length: Length,
    /// The payload, before masking.
    pub payload: Vec<u8>,
}

/// The masking key of a client, unless the test sets another one.
const MASK_KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

impl RawFrame {
    /// A legal frame with FIN set.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            rsv: [false; 3],
            opcode,
            mask: Mask::ByRole,
            length: Length::OfPayload,
            payload: payload.into(),
        }
    }

    /// Text; the bytes need not be UTF-8.
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::TEXT, payload)
    }

    /// Binary.
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::BINARY, payload)
    }

    /// Continuation.
    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::CONTINUATION, payload)
    }

    /// Ping.
    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PING, payload)
    }

    /// Pong.
    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PONG, payload)
    }

    /// Close with a code and a reason. For an empty or invalid payload, use `RawFrame::new(opcode::CLOSE, …)`.
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(opcode::CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// Clears FIN.
    #[must_use]
    pub fn not_final(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Sets reserved bit 1, 2 or 3.
    ///
    /// # Panics
    /// When `bit` is another number.
    #[must_use]
    pub fn rsv(mut self, bit: usize) -> Self {
        self.rsv[bit - 1] = true;
        self
    }

    /// Sets the masking.
    #[must_use]
    pub fn mask(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    /// Sets the declared length and its form.
    #[must_use]
    pub fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    /// The bytes that an end with the role `sender` sends for this frame.
    pub fn encode(&self, sender: Side) -> Vec<u8> {
        let key = match (self.mask, sender) {
            (Mask::Key(key), _) => Some(key),
            (Mask::ByRole, Side::Client) => Some(MASK_KEY),
            (Mask::ByRole, Side::Server) | (Mask::Absent, _) => None,
        };
        let mut bytes = Vec::with_capacity(14 + self.payload.len());
        bytes.push(self.first_byte());
        self.push_length(&mut bytes, u8::from(key.is_some()) << 7);
        bytes.extend(key.iter().flatten());
        let start = bytes.len();
        bytes.extend_from_slice(&self.payload);
        if let Some(key) = key {
            mask(&mut bytes[start..], key);
        }
        bytes
    }

    fn first_byte(&self) -> u8 {
        let flags = [self.fin, self.rsv[0], self.rsv[1], self.rsv[2]];
        flags.iter().fold(0, |bits, flag| bits << 1 | u8::from(*flag)) << 4 | self.opcode & 0x0F
    }

    fn push_length(&self, bytes: &mut Vec<u8>, mask_bit: u8) {
        match self.declared_length() {
            Length::Bits16(length) => {
                bytes.push(mask_bit | 126);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            Length::Bits64(length) => {
                bytes.push(mask_bit | 127);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            Length::Bits7(length) => bytes.push(mask_bit | length & 0x7F),
            Length::OfPayload => unreachable!("declared_length has decided on a form"),
        }
    }

    fn declared_length(&self) -> Length {
        let actual = self.payload.len();
        match self.length {
            Length::OfPayload => match (u8::try_from(actual), u16::try_from(actual)) {
                (Ok(short), _) if short < 126 => Length::Bits7(short),
                (_, Ok(medium)) => Length::Bits16(medium),
                _ => Length::Bits64(actual as u64),
            },
            asked_for => asked_for,
        }
    }
}

/// Masks eight bytes per step, because tests send many megabytes and are built without optimization.
fn mask(payload: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let key = [a, b, c, d, a, b, c, d];
    let (steps, rest) = payload.as_chunks_mut::<8>();
    for step in steps {
        *step = (u64::from_ne_bytes(*step) ^ u64::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_6455_section_5_7() {
        assert_eq!(RawFrame::text("Hello").encode(Side::Server), b"\x81\x05Hello");
        assert_eq!(
            RawFrame::text("Hello").encode(Side::Client),
            [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        );
        assert_eq!(RawFrame::text("Hel").not_final().encode(Side::Server), b"\x01\x03Hel");
        assert_eq!(RawFrame::continuation("lo").encode(Side::Server), b"\x80\x02lo");
        assert_eq!(RawFrame::ping("Hello").encode(Side::Server), b"\x89\x05Hello");
        assert_eq!(RawFrame::binary([0; 256]).encode(Side::Server)[..4], [0x82, 0x7E, 0x01, 0x00]);
        let large = RawFrame::binary([0; 65536]).encode(Side::Server);
        assert_eq!(large[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn the_shortest_length_form_changes_at_126_and_65536() {
        let second_byte = |length: usize| RawFrame::binary(vec![0; length]).encode(Side::Server)[1];
        let found = [0, 125, 126, 65535, 65536].map(second_byte);
        assert_eq!(found, [0, 125, 126, 126, 127]);
    }

    #[test]
    fn any_flag_and_any_opcode_can_be_sent() {
        let frame = RawFrame::new(0x13, *b"").rsv(1).rsv(3).not_final();
        assert_eq!(frame.encode(Side::Server), [0x53, 0], "only four bits of the opcode exist");
        assert_eq!(RawFrame::new(15, *b"").rsv(2).encode(Side::Server), [0xAF, 0]);
    }

    #[test]
    fn a_declared_length_may_be_wrong_or_longer_than_needed() {
        let frame = |length| RawFrame::text("ab").length(length).encode(Side::Server);
        assert_eq!(frame(Length::Bits7(3)), b"\x81\x03ab");
        assert_eq!(frame(Length::Bits16(2)), b"\x81\x7E\x00\x02ab");
        assert_eq!(frame(Length::Bits64(2)), b"\x81\x7F\0\0\0\0\0\0\0\x02ab");
        assert_eq!(frame(Length::Bits64(1 << 63)), b"\x81\x7F\x80\0\0\0\0\0\0\0ab");
    }

    #[test]
    fn masking_follows_the_role_unless_it_is_set() {
        assert_eq!(RawFrame::text("a").mask(Mask::Absent).encode(Side::Client), b"\x81\x01a");
        let masked = RawFrame::text("a").mask(Mask::Key([1, 2, 3, 4])).encode(Side::Server);
        assert_eq!(masked, [0x81, 0x81, 1, 2, 3, 4, b'a' ^ 1]);
    }

    #[test]
    fn the_key_is_applied_over_and_over_from_the_first_byte() {
        for length in 0..40 {
            let frame = RawFrame::binary(vec![0; length]).mask(Mask::Key([1, 2, 3, 4])).encode(Side::Client);
            let expected: Vec<u8> = [1, 2, 3, 4].into_iter().cycle().take(length).collect();
            assert_eq!(frame[6..], expected);
        }
    }

    #[test]
    fn a_close_carries_its_code_in_network_order() {
        assert_eq!(RawFrame::close(1000, "bye").encode(Side::Server), b"\x88\x05\x03\xE8bye");
    }
}
