//! Messages that are lent to the application one after the other, without the connection.

use std::{fmt, ops::Range};

use crate::{
    frame::OpCode,
    memory::{PooledBuffer, ReceiveBuffer},
    message::{MessageKind, MessageRef},
};

use super::{
    Connection,
    closing::Phase,
    inbox::{Frames, Held, unpack},
};

/// Held messages, or one message, taken from a connection with [`Connection::take_held_run`] or
/// [`MessageRef::into_run`]. For `ws-tokio`, which lends their payloads to the application while the connection is not
/// locked.
#[doc(hidden)]
pub struct MessageRun {
    held: Held,
    validated: bool,
    /// The message of `held` was lent.
    lent: bool,
}

/// Payloads must not reach logs.
impl fmt::Debug for MessageRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRun").finish_non_exhaustive()
    }
}

impl MessageRun {
    pub(crate) const fn one(kind: MessageKind, validated: bool, buffer: PooledBuffer) -> Self {
        Self { held: Held::Message(kind, buffer), validated, lent: false }
    }

    /// A run of no messages.
    #[must_use]
    pub const fn empty() -> Self {
        let held = Held::Packed { frames: Frames::Copied(Vec::new()), read: 0 };
        Self { held, validated: false, lent: false }
    }

    /// Whether [`next_message`](Self::next_message) returns a message. Control frames before it are dropped.
    #[inline]
    pub fn has_next(&mut self) -> bool {
        match &mut self.held {
            Held::Message(..) => !self.lent,
            Held::Packed { frames, read } => loop {
                match unpack(&frames[*read..]) {
                    None => return false,
                    Some((OpCode::Text | OpCode::Binary, ..)) => return true,
                    Some((.., len)) => *read += len,
                }
            },
        }
    }

    /// Lends the next message.
    #[inline]
    pub fn next_message(&mut self) -> Option<MessageRef<'_>> {
        if !self.has_next() {
            return None;
        }
        match &mut self.held {
            Held::Message(kind, buffer) => {
                self.lent = true;
                Some(MessageRef::assembled(*kind, self.validated, buffer))
            }
            Held::Packed { frames, read } => {
                let (opcode, payload, len) = unpack(&frames[*read..])?;
                *read += len;
                let kind = if opcode == OpCode::Text { MessageKind::Text } else { MessageKind::Binary };
                Some(MessageRef::lent(kind, self.validated, payload))
            }
        }
    }
}

impl Connection {
    /// Holds the processed messages in this part of the receive window: whole messages of one frame each. If they fill
    /// most of the window, they take it with them.
    #[inline]
    pub(super) fn hold_run(&mut self, received: Range<usize>, rx: &mut ReceiveBuffer) {
        if received.is_empty() {
            return;
        }
        let inbox = self.inbox.get_or_insert_default();
        if rx.is_worth_detaching(received.len()) {
            inbox.push_window(rx.detach(received.start, received.len()));
        } else {
            inbox.push_frames(rx.processed(received.start, received.len()), rx.unprocessed().len());
        }
    }

    /// Takes the oldest held messages that lie side by side, or one large message, even while the application is
    /// paused. They count as held until the next call.
    #[doc(hidden)]
    #[inline]
    pub fn take_held_run(&mut self) -> Option<MessageRun> {
        if self.phase != Phase::Open {
            return None;
        }
        let validated = self.config.validate_utf8;
        let inbox = self.inbox.as_mut()?;
        while let Some(held) = inbox.take_run() {
            let mut run = MessageRun { held, validated, lent: false };
            if run.has_next() {
                return Some(run);
            }
        }
        None
    }

    /// Holds what is left of a run again, before all other messages.
    #[doc(hidden)]
    pub fn put_back_run(&mut self, mut run: MessageRun) {
        let delivers = self.phase.delivers();
        let Some(inbox) = &mut self.inbox else {
            if delivers && run.has_next() {
                self.inbox.get_or_insert_default().put_back(run.held);
            }
            return;
        };
        if (delivers || inbox.is_lending()) && run.has_next() {
            inbox.put_back(run.held);
        } else {
            inbox.end_run();
        }
    }
}

impl MessageRef<'_> {
    /// The message as a run of one. It is copied in the same cases as [`into_bytes`](Self::into_bytes).
    #[doc(hidden)]
    #[must_use]
    pub fn into_run(self) -> MessageRun {
        let (kind, validated) = (self.kind(), self.is_validated());
        MessageRun::one(kind, validated, self.into_buffer())
    }
}
