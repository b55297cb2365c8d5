//! Errors, grouped by the side at fault.
//!
//! An error does not print its cause: [`source`](std::error::Error::source) has it. A caller that prints one line
//! follows the sources, as `anyhow` and `eyre` do.
//!
//! [`ProtocolError`] and [`LimitExceeded`] are faults of the peer, [`SendError`] and [`ControlError`] of the caller.
//! [`ConnectionError::close_code`] is the one place that maps a fault of the peer to the close code that answers it.

use std::{error::Error, fmt, io, time::Duration};

use crate::close_code::CloseCode;
pub use crate::close_code::CloseError;

/// The peer violated RFC 6455.
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
    #[error("frame from a client without a mask")]
    UnmaskedFrame,
    /// A server's frame with a mask (section 5.1).
    #[error("frame from a server with a mask")]
    MaskedFrame,
    /// A control frame without FIN (section 5.5).
    #[error("control frame without FIN")]
    FragmentedControlFrame,
    /// A control frame over 125 bytes (section 5.5).
    #[error("control frame longer than 125 bytes")]
    ControlFrameTooLong,
    /// A payload length that has a shorter encoding (section 5.2).
    #[error("payload length is not minimally encoded")]
    NonMinimalLength,
    /// A 64-bit length with its most significant bit set (section 5.2).
    #[error("payload length with its most significant bit set")]
    LengthTopBitSet,
    /// A continuation frame outside a message (section 5.4).
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A text or binary frame inside a fragmented message (section 5.4).
    #[error("new data message inside a fragmented message")]
    NestedMessage,
    /// Text that is not UTF-8 (section 8.1).
    #[error("text message is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message that is not valid DEFLATE (RFC 7692 section 7.2.2).
    #[error("compressed message is not valid DEFLATE")]
    InvalidDeflate,
    /// A Close frame with a payload of one byte (section 5.5.1).
    #[error("Close frame with a payload of one byte")]
    ClosePayloadTooShort,
    /// A close code that must not be sent (section 7.4).
    #[error("invalid close code {0}")]
    InvalidCloseCode(u16),
    /// A close reason that is not UTF-8 (section 5.5.1).
    #[error("close reason is not valid UTF-8")]
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

/// The peer exceeded one of the [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitExceeded {
    /// The received and announced bytes of a message together exceed the limit.
    #[error("message larger than max_message_size ({limit} bytes)")]
    MessageSize {
        /// `max_message_size`, in bytes.
        limit: usize,
    },
    /// A single data frame announced more bytes than the limit.
    #[error("frame larger than max_frame_size ({limit} bytes)")]
    FrameSize {
        /// `max_frame_size`, in bytes.
        limit: usize,
    },
    /// A message has more fragments than allowed.
    #[error("message with more than max_fragments ({limit}) fragments")]
    Fragments {
        /// `max_fragments`.
        limit: u32,
    },
    /// More control frames in one read than allowed.
    #[error("more than max_control_frames_per_read ({limit}) control frames in one read")]
    ControlFrames {
        /// `max_control_frames_per_read`.
        limit: u32,
    },
    /// More control frames within a second than allowed.
    #[error("more than max_control_frames_per_second ({limit}) control frames in a second")]
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
    /// `idle_timeout`: no bytes were received or sent.
    #[error("no data in either direction within the idle timeout")]
    Idle,
    /// `keepalive`: no pong arrived, and no other bytes either.
    #[error("no pong within the keepalive timeout")]
    Keepalive,
    /// `close_timeout`: the closing handshake did not complete.
    #[error("closing handshake not complete within the close timeout")]
    Close,
    /// `write_timeout`: the peer took none of the bytes that waited to be sent.
    #[error("no bytes taken by the peer within the write timeout")]
    Write,
    /// `message_timeout`: a frame or message started but did not complete.
    #[error("message not complete within the message timeout")]
    Message,
}

/// Why a connection ended without a clean closing handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer violated the protocol.
    #[error("the peer violated the protocol")]
    Protocol(#[from] ProtocolError),
    /// The peer exceeded a limit.
    #[error("the peer exceeded a limit")]
    Limit(#[from] LimitExceeded),
    /// A deadline passed.
    #[error("a deadline passed")]
    TimedOut(#[from] TimedOut),
    /// The peer's byte stream ended without a Close frame (code 1006 in other APIs).
    #[error("the byte stream ended without a Close frame")]
    Eof,
    /// The transport failed (code 1006 in other APIs).
    #[error("the transport failed: {0}")]
    Transport(io::ErrorKind),
    /// There is no memory for what the peer sends: all connections together have used up their `memory_budget`.
    #[error("the memory budget of all connections is used up")]
    MemoryBudget,
    /// The local application failed, for example by a panic.
    #[error("internal error")]
    Internal,
}

impl ConnectionError {
    /// The code of the Close frame that answers this fault; `None` where no frame can be sent anymore.
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

    /// The reason of the Close frame that answers this fault: short, and with the cause.
    pub(crate) fn close_reason(self) -> String {
        match self {
            Self::Protocol(error) => format!("protocol error: {error}"),
            Self::Limit(limit) => format!("limit exceeded: {limit}"),
            Self::TimedOut(deadline) => format!("timed out: {deadline}"),
            error => error.to_string(),
        }
    }

    /// Whether the peer caused the error, rather than the network, the clock or this side.
    #[must_use]
    pub const fn is_peer_fault(self) -> bool {
        matches!(self, Self::Protocol(_) | Self::Limit(_))
    }

    /// Whether the peer disconnected without a Close frame. Such an error deserves a debug line, not an error line.
    #[must_use]
    pub const fn is_disconnect(self) -> bool {
        matches!(self, Self::Eof | Self::Transport(_))
    }
}

/// Why a send was not accepted. `P` is the payload, returned if the send took ownership of it.
///
/// The two variants are final, as those of tokio's `TrySendError` are: a message that is not accepted now can be sent
/// later, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError<P = ()> {
    /// The connection is closing or closed. Webzockets for Zig calls this `InvalidState`.
    #[doc(alias = "InvalidState")]
    #[error("the connection is not open")]
    Closed(P),
    /// The write queue is full: `write_queue_messages` messages or `write_queue_bytes` bytes are waiting. Webzockets
    /// for Zig calls this `WriteBusy`.
    #[doc(alias = "WriteBusy")]
    #[error("the write queue is full")]
    Full(P),
}

impl<P> SendError<P> {
    /// The payload that was not sent.
    pub fn into_payload(self) -> P {
        match self {
            Self::Closed(payload) | Self::Full(payload) => payload,
        }
    }

    /// The same error with another payload.
    pub fn map<Q>(self, f: impl FnOnce(P) -> Q) -> SendError<Q> {
        match self {
            Self::Closed(payload) => SendError::Closed(f(payload)),
            Self::Full(payload) => SendError::Full(f(payload)),
        }
    }
}

/// Why a ping or pong was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The connection is closing or closed. Webzockets for Zig calls this `InvalidState`.
    #[doc(alias = "InvalidState")]
    #[error("the connection is not open")]
    Closed,
    /// The queue of control frames, 256 bytes, has no room for this one. Webzockets for Zig calls this `QueueFull`.
    #[doc(alias = "QueueFull")]
    #[error("the control queue is full")]
    Full,
    /// The payload is longer than 125 bytes (RFC 6455 section 5.5). Webzockets for Zig calls this
    /// `ControlFrameTooBig`.
    #[doc(alias = "ControlFrameTooBig")]
    #[error("control frame payload of {len} bytes is longer than 125 bytes")]
    TooLong {
        /// The length of the payload, in bytes.
        len: usize,
    },
}

/// Prints an error and its causes in one line, for logs. A cause that the line already ends with is not repeated.
#[doc(hidden)]
#[derive(Debug)]
pub struct WithCauses<'a>(pub &'a dyn Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = self.0.to_string();
        let mut source = self.0.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            source = cause.source();
        }
        f.write_str(&line)
    }
}

/// An invalid configuration value: the option, the value, and what the option accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} = {value}: {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The option's name.
    pub option: &'static str,
    /// The value that was given.
    pub value: String,
    /// What the option accepts.
    pub expected: &'static str,
}

impl ConfigError {
    #[doc(hidden)]
    #[must_use]
    pub fn new(option: &'static str, value: impl fmt::Display, expected: &'static str) -> Self {
        Self { option, value: value.to_string(), expected }
    }

    pub(crate) fn duration(option: &'static str, value: Duration) -> Self {
        Self::new(option, format_args!("{value:?}"), "must be longer than zero")
    }
}

#[cfg(test)]
mod tests;
