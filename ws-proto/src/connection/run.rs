//! Messages that are lent to the application one after the other, without the connection.

use std::{fmt, mem, ops::Range};

use bytes::Bytes;

use crate::{
    frame::OpCode,
    memory::{MESSAGE_OVERHEAD, PooledBuffer, ReceiveBuffer, TransmitQueue},
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

/// Where messages of a read are in the receive buffer, and what the connection knows of them.
#[doc(hidden)]
#[must_use]
pub struct ReceivedMessages {
    frames: Range<usize>,
    validated: bool,
    lease: Lease,
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

impl fmt::Debug for ReceivedMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedMessages").finish_non_exhaustive()
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
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        match &self.held {
            Held::Message(..) => self.lent,
            Held::Packed { frames, read } => *read == frames.len(),
        }
    }

    /// Drops all that is left.
    pub fn skip_all(&mut self) {
        match &mut self.held {
            Held::Message(..) => self.lent = true,
            Held::Packed { frames, read } => *read = frames.len(),
        }
    }

    /// The messages of the receive buffer that [`Connection::lend_received`] has found.
    #[must_use]
    pub fn in_buffer(messages: ReceivedMessages, rx: Box<ReceiveBuffer>) -> Self {
        let ReceivedMessages { frames: Range { start, end }, validated, lease } = messages;
        let held = Held::Packed { frames: Frames::Buffer { rx, end }, read: start };
        Self { held, validated, lent: false, lease: Some(lease) }
    }

    /// Takes the receive buffer that the messages are in. Those that are left are copied.
    #[must_use]
    pub fn take_buffer(&mut self) -> Option<Box<ReceiveBuffer>> {
        let Held::Packed { frames, read } = &mut self.held else { return None };
        if !matches!(frames, Frames::Buffer { .. }) {
            return None;
        }
        let left = Frames::Copied(frames[*read..].to_vec());
        *read = 0;
        if let Frames::Buffer { rx, .. } = mem::replace(frames, left) { Some(rx) } else { None }
    }

    /// Takes the next message, owned: a small one is a copy, a large one may share the window. `None` if none is left,
    /// or if the next frame is not a message, or if the connection has dropped what it holds: [put the run
    /// back](Connection::put_back_run), and ask the connection. Once all messages of a run were taken in this way, the
    /// connection holds nothing back for it.
    #[inline]
    pub fn take_message(&mut self) -> Option<Message> {
        let Held::Packed { frames, read } = &mut self.held else { return None };
        let lease = self.lease.as_ref()?;
        let left = &frames[*read..];
        let (opcode, payload, len) = unpack(left)?;
        let kind = MessageKind::from_opcode(opcode)?;
        if lease.is_dropped() {
            return None;
        }
        lease.note_taken(if len == left.len() { len + MESSAGE_OVERHEAD } else { len });
        let next = *read + len;
        *read = next;
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

    /// Takes the messages that come next in the receive buffer, as long as each is a whole frame, together with those
    /// that were delivered since the [position](ReceiveBuffer::position) `from`. They count as held, before all that
    /// comes later. Pass everything else in the buffer to [`poll_event`](Self::poll_event), and then the buffer to
    /// [`MessageRun::in_buffer`].
    ///
    /// `None` if there is no message, or if the buffer [may not lend](ReceiveBuffer::may_lend): ask it before a message
    /// is delivered. Only if the connection [is plain](Self::is_plain).
    #[doc(hidden)]
    pub fn lend_received(
        &mut self,
        from: usize,
        rx: &mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<ReceivedMessages> {
        if !rx.may_lend() {
            return None;
        }
        self.hold();
        let frames = from..self.fast_messages(rx, tx).end;
        if frames.is_empty() {
            return None;
        }
        let lease = self.inbox.get_or_insert_default().lend(frames.len());
        self.update_charge(tx);
        Some(ReceivedMessages { frames, validated: self.config.validate_utf8, lease })
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

    /// Holds what is left of a run again, before all other messages and control frames. To use its buffer again, [take
    /// it](MessageRun::take_buffer) before.
    #[doc(hidden)]
    pub fn put_back_run(&mut self, mut run: MessageRun) {
        drop(run.take_buffer());
        self.note_stall();
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
            self.inbox.take_if(|inbox| inbox.is_empty());
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
