//! Messages that are lent to the application one after the other, without the connection.

use std::{fmt, ops::Range};

use bytes::Bytes;

use crate::{
    frame::OpCode,
    memory::{PooledBuffer, ReceiveBuffer},
    message::{Message, MessageKind, MessageRef},
};

use super::{
    Connection, Flow,
    closing::Phase,
    inbox::{Frames, Held, PACKED_BELOW, unpack},
    lease::Lease,
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
    /// `None` for a message that was not held.
    lease: Option<Lease>,
}

/// Whether a frame with this first byte, of those that are held, is a message.
#[inline]
const fn is_data(first: u8) -> bool {
    first & 0x08 == 0
}

/// Payloads must not reach logs.
impl fmt::Debug for MessageRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRun").finish_non_exhaustive()
    }
}

impl MessageRun {
    pub(crate) const fn one(kind: MessageKind, validated: bool, buffer: PooledBuffer) -> Self {
        Self { held: Held::Message(kind, buffer), validated, lent: false, lease: None }
    }

    /// A run of no messages.
    #[must_use]
    pub const fn empty() -> Self {
        let held = Held::Packed { frames: Frames::Copied(Vec::new()), read: 0 };
        Self { held, validated: false, lent: false, lease: None }
    }

    /// Whether nothing is left, not even a control frame.
    fn is_empty(&self) -> bool {
        match &self.held {
            Held::Message(..) => self.lent,
            Held::Packed { frames, read } => *read == frames.len(),
        }
    }

    /// Takes the next message, owned: a small one is a copy, a large one may share the window. `None` if it is the last
    /// one, or is not the next frame, or if the connection has dropped what it holds: [put the run
    /// back](Connection::put_back_run), and ask the connection. So while all messages of a run are taken in this way, the
    /// connection knows when none is left.
    #[inline]
    pub fn take_message(&mut self) -> Option<Message> {
        let Held::Packed { frames, read } = &mut self.held else { return None };
        let lease = self.lease.as_ref()?;
        let (opcode, payload, len) = unpack(&frames[*read..])?;
        let kind = MessageKind::from_opcode(opcode)?;
        let next = *read + len;
        if next == frames.len() || lease.is_dropped() {
            return None;
        }
        *read = next;
        lease.note_taken(len);
        // As `Inbox::pop_bytes` does. A common function for both took 4 % more instructions per message.
        let payload = match payload.len() {
            ..PACKED_BELOW => Bytes::from(Box::<[u8]>::from(payload)),
            len => frames.owned(next - len..next),
        };
        Some(Message::received(kind, self.validated, payload))
    }

    /// Whether the connection has dropped what it holds since the run was taken.
    #[inline]
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_dropped)
    }

    /// Whether [`next_message`](Self::next_message) returns a message. Control frames before it are dropped.
    #[inline]
    pub fn has_next(&mut self) -> bool {
        match &self.held {
            Held::Message(..) => !self.lent,
            Held::Packed { frames, read } => match frames.get(*read) {
                None => false,
                Some(first) => is_data(*first) || self.skip_control_frames(),
            },
        }
    }

    /// Drops the control frames before the next message. Returns whether there is one.
    #[cold]
    fn skip_control_frames(&mut self) -> bool {
        let Held::Packed { frames, read } = &mut self.held else { return false };
        while let Some((opcode, _, len)) = unpack(&frames[*read..]) {
            if !opcode.is_control() {
                return true;
            }
            *read += len;
        }
        false
    }

    /// Lends the next message.
    #[inline]
    pub fn next_message(&mut self) -> Option<MessageRef<'_>> {
        if !self.has_next() {
            return None;
        }
        let lease = self.lease.as_ref();
        match &mut self.held {
            Held::Message(kind, buffer) => {
                self.lent = true;
                lease.inspect(|lease| lease.note_taken(buffer.len()));
                Some(MessageRef::assembled(*kind, self.validated, buffer))
            }
            Held::Packed { frames, read } => {
                let (opcode, payload, len) = unpack(&frames[*read..])?;
                *read += len;
                lease.inspect(|lease| lease.note_taken(len));
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
        while let Some((held, lease)) = inbox.take_run() {
            let mut run = MessageRun { held, validated, lent: false, lease: Some(lease) };
            if run.has_next() {
                return Some(run);
            }
        }
        None
    }

    /// Takes the oldest held messages, as [`take_held_run`](Self::take_held_run) does, if several small ones lie side
    /// by side and the connection is [on hold](Self::hold). For [`MessageRun::take_message`].
    #[doc(hidden)]
    #[inline]
    pub fn take_rest_run(&mut self) -> Option<MessageRun> {
        if !matches!(self.flow, Flow::Hold) || self.phase != Phase::Open {
            return None;
        }
        let (held, lease) = self.inbox.as_mut()?.take_several()?;
        Some(MessageRun { held, validated: self.config.validate_utf8, lent: false, lease: Some(lease) })
    }

    /// Whether a message was taken from the latest run since the last call.
    #[doc(hidden)]
    #[inline]
    pub fn take_run_read(&mut self) -> bool {
        self.inbox.as_mut().and_then(|inbox| inbox.lease_mut()).is_some_and(Lease::take_read)
    }

    /// Holds what is left of a run again, before all other messages and control frames.
    #[doc(hidden)]
    pub fn put_back_run(&mut self, run: MessageRun) {
        self.was_stalled |= !self.wants_read();
        let delivers = self.phase.delivers();
        let Some(inbox) = &mut self.inbox else {
            if delivers && !run.is_empty() {
                self.inbox.get_or_insert_default().put_back(run.held);
            }
            return;
        };
        if (delivers || inbox.is_lending()) && !run.is_empty() {
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
