/// What a frame carries (RFC 6455 section 5.2). The reserved values 3–7 and 11–15 have no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpCode {
    /// A further fragment of the message that a text or binary frame started.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The closing handshake (section 5.5.1).
    Close = 8,
    /// A request for a pong (section 5.5.2).
    Ping = 9,
    /// The answer to a ping, or an unsolicited heartbeat (section 5.5.3).
    Pong = 10,
}

impl OpCode {
    /// The opcode in the low four bits of `bits`; `None` if it is reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0x0f {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    /// The value on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether this is a control frame: never fragmented, at most 125 bytes (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.bits() >= 8
    }
}
