use std::{fmt, time::Duration};

use crate::{
    close_code::CloseCode,
    error::{ConnectionError, WithCauses},
    frame::OpCode,
};

/// What happened on a connection. It prints as one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordedEvent {
    /// The header of a frame was received. A Close is a [`CloseReceived`](Self::CloseReceived).
    FrameReceived {
        /// What the frame carries.
        opcode: OpCode,
        /// Whether the frame ends its message.
        fin: bool,
        /// The announced payload bytes, as on the wire.
        len: u64,
    },
    /// A frame was encoded into the transmit queue. A Close is a [`CloseSent`](Self::CloseSent), and a ping of the
    /// keepalive a [`KeepalivePing`](Self::KeepalivePing).
    FrameSent {
        /// What the frame carries.
        opcode: OpCode,
        /// Whether the frame ends its message.
        fin: bool,
        /// The payload bytes, as on the wire.
        len: u64,
    },
    /// The write queue was full, so a message was refused with `Full`, or waits for room. It is recorded once, until a
    /// message is accepted.
    SendRefused {
        /// The message's payload bytes.
        len: u64,
    },
    /// The transport accepts no more bytes. It is recorded once, until a [`WriteDrained`](Self::WriteDrained).
    WriteBlocked {
        /// The bytes that wait.
        waiting: u64,
    },
    /// All that waited is written.
    WriteDrained,
    /// Received messages are held: the application does not receive, or the server waits until the peer reads.
    Paused,
    /// Received messages are delivered.
    Resumed,
    /// So much is held for a paused application that nothing more is read (`max_held_bytes`).
    ReadingStopped {
        /// The bytes that are held.
        held: u64,
    },
    /// Bytes are read again.
    ReadingResumed,
    /// A ping of the keepalive was encoded into the transmit queue.
    KeepalivePing {
        /// The ping's number, which is its payload.
        number: u64,
    },
    /// The pong to the latest ping of the keepalive was received.
    KeepalivePong {
        /// The round-trip time.
        round_trip: Duration,
    },
    /// A part of the keepalive's timeout passed without a byte from the peer, and the connection still waits.
    KeepaliveLate,
    /// The application began the closing handshake.
    CloseRequested {
        /// The code of its Close.
        code: Option<CloseCode>,
    },
    /// A Close was encoded into the transmit queue. It goes behind what waits there.
    CloseSent {
        /// Its code.
        code: Option<CloseCode>,
    },
    /// A valid Close was received.
    CloseReceived {
        /// Its code.
        code: Option<CloseCode>,
    },
    /// The peer's byte stream ended.
    StreamEnded,
    /// The connection failed. Only the first error is recorded.
    Failed(ConnectionError),
    /// The application ended the connection without a Close.
    Aborted,
    /// The connection is over.
    Ended,
}

impl fmt::Display for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FrameReceived { opcode, fin, len } => write!(f, "received {}", FrameLine(opcode, fin, len)),
            Self::FrameSent { opcode, fin, len } => write!(f, "sent {}", FrameLine(opcode, fin, len)),
            Self::SendRefused { len } => write!(f, "write queue full: refused a message of {}", Bytes(len)),
            Self::WriteBlocked { waiting } => {
                write!(f, "the transport accepts no more: {} wait", Bytes(waiting))
            }
            Self::WriteDrained => f.write_str("all that waited is written"),
            Self::Paused => f.write_str("delivery paused"),
            Self::Resumed => f.write_str("delivery resumed"),
            Self::ReadingStopped { held } => write!(f, "reading stopped: {} are held", Bytes(held)),
            Self::ReadingResumed => f.write_str("reading resumed"),
            Self::KeepalivePing { number } => write!(f, "sent keepalive ping {number}"),
            Self::KeepalivePong { round_trip } => write!(f, "keepalive pong after {round_trip:?}"),
            Self::KeepaliveLate => f.write_str("keepalive pong is late"),
            Self::CloseRequested { code } => write!(f, "close requested{}", Code(code)),
            Self::CloseSent { code } => write!(f, "sent Close{}", Code(code)),
            Self::CloseReceived { code } => write!(f, "received Close{}", Code(code)),
            Self::StreamEnded => f.write_str("the peer's stream ended"),
            Self::Failed(error) => write!(f, "failed: {}", WithCauses(&error)),
            Self::Aborted => f.write_str("aborted"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

struct FrameLine(OpCode, bool, u64);

impl fmt::Display for FrameLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            OpCode::Continuation => "continuation",
            OpCode::Text => "text",
            OpCode::Binary => "binary",
            OpCode::Close => "Close",
            OpCode::Ping => "ping",
            OpCode::Pong => "pong",
        };
        write!(f, "{name}, {}", Bytes(self.2))?;
        f.write_str(if self.1 { "" } else { ", not final" })
    }
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "byte" } else { "bytes" })
    }
}

struct Code(Option<CloseCode>);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, " {code}"),
            None => f.write_str(" without a code"),
        }
    }
}
