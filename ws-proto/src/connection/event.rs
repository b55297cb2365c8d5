//! What `poll_event` returns, and what was held for an application that did not receive.

use std::fmt;

use bytes::Bytes;

use crate::{
    close::CloseInfo,
    frame::OpCode,
    memory::ReceiveBuffer,
    message::{Message, MessageKind, MessageRef},
};

/// An event from [`Connection::poll_event`](super::Connection::poll_event). Payloads are borrowed from the receive
/// buffer.
#[non_exhaustive]
pub enum Event<'rx> {
    /// A complete text or binary message.
    Message(MessageRef<'rx>),
    /// A ping. With [`Config::auto_pong`](crate::Config::auto_pong), the answer is already queued, except after our
    /// Close.
    Ping(&'rx [u8]),
    /// A pong, solicited or not.
    Pong(&'rx [u8]),
    /// The connection has ended. This event occurs exactly once and is the last one.
    Closed(CloseInfo),
}

/// Prints the lengths of payloads. Payloads must not reach logs.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => message.fmt(f),
            Self::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Self::Pong(payload) => write!(f, "Pong({} bytes)", payload.len()),
            Self::Closed(info) => f.debug_tuple("Closed").field(info).finish(),
        }
    }
}

/// A message or control frame from [`Connection::take_held_event`](super::Connection::take_held_event), owned.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeldEvent {
    /// A complete text or binary message.
    Message(Message),
    /// A ping that was held with [`Connection::hold_ping`](super::Connection::hold_ping).
    Ping(Bytes),
    /// A pong that was held with [`Connection::hold_pong`](super::Connection::hold_pong).
    Pong(Bytes),
}

/// Omits payloads, to keep them out of logs.
impl fmt::Debug for HeldEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.debug_tuple("Message").field(message).finish(),
            Self::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Self::Pong(payload) => write!(f, "Pong({} bytes)", payload.len()),
        }
    }
}

/// The result of one step of the parser.
pub(super) enum Step {
    /// No complete item is left.
    NeedMore,
    /// The step consumed a fragment or a part; take another step.
    Continue,
    /// A message is being inflated; yield to other connections.
    Yield,
    Message(MessageKind, At),
    Control(OpCode, At),
}

/// An event with the location of its payload, before it borrows from the receive buffer.
#[derive(Debug)]
#[must_use]
pub(super) enum Located {
    Message(MessageKind, At),
    Ping(At),
    Pong(At),
    Closed,
}

/// The location of a payload.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    /// In the receive window.
    Window { start: usize, len: usize },
    /// In the receive buffer's assembled message.
    Assembled,
    /// At the beginning of the receive buffer's scratch memory for inflated messages.
    #[cfg_attr(not(feature = "deflate"), expect(dead_code, reason = "nothing is compressed"))]
    Inflated { len: usize },
}

impl At {
    #[inline]
    pub(super) fn bytes(self, rx: &ReceiveBuffer) -> &[u8] {
        match self {
            Self::Window { start, len } => rx.processed(start, len),
            Self::Assembled => &rx.assembled,
            Self::Inflated { len } => rx.inflated(len),
        }
    }

    #[inline]
    pub(super) fn message(
        self,
        kind: MessageKind,
        validated: bool,
        rx: &mut ReceiveBuffer,
    ) -> MessageRef<'_> {
        match self {
            Self::Window { start, len } => message_in_window(kind, validated, rx, start, len),
            Self::Assembled => MessageRef::assembled(kind, validated, &mut rx.assembled),
            Self::Inflated { len } => MessageRef::lent(kind, validated, rx.inflated(len)),
        }
    }
}

/// A message in the receive window.
#[inline]
pub(super) fn message_in_window(
    kind: MessageKind,
    validated: bool,
    rx: &mut ReceiveBuffer,
    start: usize,
    len: usize,
) -> MessageRef<'_> {
    if rx.is_worth_detaching(len) {
        MessageRef::window(kind, validated, rx, start, len)
    } else {
        MessageRef::lent(kind, validated, rx.processed(start, len))
    }
}
