//! Errors, sorted by whose fault they are.
//!
//! [`ProtocolError`] and [`LimitExceeded`] are the peer's, [`SendError`] and [`ControlError`] the caller's. The close
//! code that answers a peer's fault is derived from it in one place, [`ConnectionError::close_code`].

use std::{io, time::Duration};

use crate::close_code::CloseCode;

/// The peer broke RFC 6455.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// Opcodes 3–7 and 11–15 (section 5.2).
    #[error("reserved opcode {0}")]
    ReservedOpcode(u8),
    /// A reserved bit without an extension that gives it a meaning (section 5.2).
    #[error("reserved bits {0:#04x} without a negotiated extension")]
    ReservedBits(u8),
    /// A client's frame without a mask (section 5.1).
    #[error("a client's frame was not masked")]
    UnmaskedFrame,
    /// A server's frame with a mask (section 5.1).
    #[error("a server's frame was masked")]
    MaskedFrame,
    /// A control frame without FIN (section 5.5).
    #[error("fragmented control frame")]
    FragmentedControlFrame,
    /// A control frame over 125 bytes (section 5.5).
    #[error("control frame longer than 125 bytes")]
    ControlFrameTooLong,
    /// A length that a shorter encoding could have said (section 5.2).
    #[error("payload length not minimally encoded")]
    NonMinimalLength,
    /// A 64-bit length with its most significant bit set (section 5.2).
    #[error("payload length with its top bit set")]
    LengthTopBitSet,
    /// A continuation frame outside a message (section 5.4).
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A text or binary frame inside a fragmented message (section 5.4).
    #[error("new message inside a fragmented message")]
    NestedMessage,
    /// Text that is not UTF-8 (section 8.1).
    #[error("text that is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message that is not DEFLATE (RFC 7692 section 7.2.2).
    #[error("compressed message that cannot be decompressed")]
    InvalidDeflate,
    /// A Close frame of one byte (section 5.5.1).
    #[error("Close frame with a payload of one byte")]
    ClosePayloadTooShort,
    /// A close code that must not be sent (section 7.4).
    #[error("invalid close code {0}")]
    InvalidCloseCode(u16),
    /// A close reason that is not UTF-8 (section 5.5.1).
    #[error("close reason that is not valid UTF-8")]
    InvalidCloseReason,
}

impl ProtocolError {
    const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidCloseReason | Self::InvalidDeflate => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

/// The peer went over a limit of [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitExceeded {
    /// Accumulated and announced bytes of a message together are over the limit.
    #[error("message over max_message_size ({limit} bytes)")]
    MessageSize {
        /// `max_message_size`, in bytes.
        limit: usize,
    },
    /// A single data frame announced more than the limit.
    #[error("frame over max_frame_size ({limit} bytes)")]
    FrameSize {
        /// `max_frame_size`, in bytes.
        limit: usize,
    },
    /// A message came in more fragments than allowed.
    #[error("message in more than max_fragments ({limit}) fragments")]
    Fragments {
        /// `max_fragments`.
        limit: u32,
    },
    /// More control frames in one read than allowed.
    #[error("more than max_control_frames_per_read ({limit}) control frames at once")]
    ControlFrames {
        /// `max_control_frames_per_read`.
        limit: u32,
    },
    /// More control frames within a second than allowed.
    #[error("more than max_control_frames_per_second ({limit}) control frames")]
    ControlRate {
        /// `max_control_frames_per_second`.
        limit: u32,
    },
}

impl LimitExceeded {
    const fn close_code(self) -> CloseCode {
        match self {
            Self::MessageSize { .. } | Self::FrameSize { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::Fragments { .. } | Self::ControlFrames { .. } | Self::ControlRate { .. } => {
                CloseCode::POLICY_VIOLATION
            }
        }
    }
}

/// A deadline that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimedOut {
    /// `idle_timeout`: nothing in either direction.
    #[error("idle in both directions")]
    Idle,
    /// `keepalive`: the pong stayed away, and nothing else came either.
    #[error("no pong within the keepalive timeout")]
    Keepalive,
    /// `close_timeout`: the closing handshake did not finish.
    #[error("closing handshake not finished in time")]
    Close,
    /// `write_timeout`: the peer took none of the bytes that waited for it.
    #[error("the peer stopped reading")]
    Write,
    /// `message_timeout`: a frame or message that had begun did not end.
    #[error("message not complete in time")]
    Message,
}

/// Why a connection did not end by a clean closing handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    /// The peer went over a limit.
    #[error("limit exceeded: {0}")]
    Limit(#[from] LimitExceeded),
    /// A deadline passed.
    #[error("timed out: {0}")]
    TimedOut(#[from] TimedOut),
    /// The peer's byte stream ended without a Close frame (code 1006 in other APIs).
    #[error("the connection ended without a closing handshake")]
    Eof,
    /// The transport failed (code 1006 in other APIs).
    #[error("transport error: {0}")]
    Transport(io::ErrorKind),
    /// There is no memory for what the peer sends: all connections together are at their `memory_budget`.
    #[error("the connections together are at their memory budget")]
    MemoryBudget,
    /// The local application failed, for example by a panic.
    #[error("internal error")]
    Internal,
}

impl ConnectionError {
    /// The code of the Close frame that answers this fault; `None` where no frame can be sent any more.
    #[must_use]
    pub const fn close_code(self) -> Option<CloseCode> {
        match self {
            Self::Protocol(error) => Some(error.close_code()),
            Self::Limit(limit) => Some(limit.close_code()),
            Self::TimedOut(TimedOut::Idle) => Some(CloseCode::GOING_AWAY),
            Self::TimedOut(TimedOut::Message) => Some(CloseCode::POLICY_VIOLATION),
            Self::MemoryBudget => Some(CloseCode::TRY_AGAIN_LATER),
            Self::TimedOut(TimedOut::Keepalive) | Self::Internal => Some(CloseCode::INTERNAL_ERROR),
            Self::TimedOut(TimedOut::Close | TimedOut::Write) | Self::Eof | Self::Transport(_) => None,
        }
    }

    /// Whether the peer is to blame, rather than the network, the clock or this side.
    #[must_use]
    pub const fn is_peer_fault(self) -> bool {
        matches!(self, Self::Protocol(_) | Self::Limit(_))
    }

    /// Whether the peer merely vanished: worth a debug line, not an error line.
    #[must_use]
    pub const fn is_disconnect(self) -> bool {
        matches!(self, Self::Eof | Self::Transport(_))
    }
}

/// Why a send was not accepted. `P` is the payload, given back where the send had taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError<P = ()> {
    /// The connection is closing or closed.
    #[error("the connection is not open")]
    InvalidState(P),
    /// The write queue is full: `write_queue_messages` or `write_queue_bytes` are waiting.
    #[error("the write queue is full")]
    WriteBusy(P),
}

impl<P> SendError<P> {
    /// The payload that was not sent.
    pub fn into_payload(self) -> P {
        match self {
            Self::InvalidState(payload) | Self::WriteBusy(payload) => payload,
        }
    }

    /// The same error with another payload.
    pub fn map<Q>(self, f: impl FnOnce(P) -> Q) -> SendError<Q> {
        match self {
            Self::InvalidState(payload) => SendError::InvalidState(f(payload)),
            Self::WriteBusy(payload) => SendError::WriteBusy(f(payload)),
        }
    }
}

/// Why a ping or pong was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The connection is closing or closed.
    #[error("the connection is not open")]
    InvalidState,
    /// 256 bytes of control frames are waiting already.
    #[error("the control queue is full")]
    QueueFull,
    /// The payload is longer than 125 bytes (RFC 6455 section 5.5).
    #[error("control frame payload of {0} bytes, at most 125 are allowed")]
    ControlFrameTooBig(usize),
}

/// A bad value in a configuration: which option, which value, what it takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} = {value}: {expected}")]
pub struct ConfigError {
    /// The option's name.
    pub option: &'static str,
    /// The value that was given.
    pub value: String,
    /// What it may be.
    pub expected: &'static str,
}

impl ConfigError {
    pub(crate) fn duration(option: &'static str, value: Duration) -> Self {
        Self { option, value: format!("{value:?}"), expected: "must be longer than zero" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_follows_from_the_fault() {
        let cases: [(ConnectionError, Option<u16>); 10] = [
            (ProtocolError::UnmaskedFrame.into(), Some(1002)),
            (ProtocolError::InvalidUtf8.into(), Some(1007)),
            (ProtocolError::InvalidCloseReason.into(), Some(1007)),
            (LimitExceeded::MessageSize { limit: 1 }.into(), Some(1009)),
            (LimitExceeded::Fragments { limit: 1 }.into(), Some(1008)),
            (TimedOut::Idle.into(), Some(1001)),
            (TimedOut::Message.into(), Some(1008)),
            (ConnectionError::MemoryBudget, Some(1013)),
            (ConnectionError::Eof, None),
            (ConnectionError::Internal, Some(1011)),
        ];
        for (error, code) in cases {
            assert_eq!(error.close_code().map(CloseCode::get), code, "{error}");
        }
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<ConnectionError>() <= 24);
        assert!(size_of::<SendError>() <= 2);
    }
}
