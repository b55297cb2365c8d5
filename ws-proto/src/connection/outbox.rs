//! Frames that wait in the connection because the transport is blocked. They are not encoded yet, so control frames can
//! still overtake data.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    close::CloseFrame,
    frame::{CONTROL_QUEUE_CAPACITY, ControlFrame, ControlQueue, OpCode},
    mask::Mask,
    memory::{Backlog, Notify, TransmitQueue},
    message::MessageKind,
};

use super::compressed::Deflating;

/// How many bytes of control frames may overtake waiting data before a message is sent. It covers all that can wait at
/// one time, but not an endless flood of pings.
const MAX_CONTROL_RUN: usize = 2 * CONTROL_QUEUE_CAPACITY;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Outgoing>,
    /// The size of `messages`.
    backlog: Backlog,
    control: ControlQueue,
    /// Bytes of control frames taken since the last message.
    control_run: usize,
    /// A keepalive ping waits.
    pub(super) keepalive: bool,
    /// The answer to the latest ping. It replaces an earlier answer (RFC 6455 section 5.5.3).
    pong: ControlQueue,
    pub(super) close: Option<CloseFrame>,
    /// A message that is partly encoded.
    pub(super) begun: Option<Begun>,
}

/// The rest of a partly encoded message.
#[derive(Debug)]
pub(super) enum Begun {
    /// The frame's header is encoded. No other frame may come before the rest.
    Masking(Masking),
    /// The frames so far are complete. Control frames may come before the rest (RFC 6455 section 5.4).
    Deflating(Box<Deflating>),
}

/// The rest of a client's large frame that is not masked yet.
#[derive(Debug)]
pub(super) struct Masking {
    pub(super) payload: Bytes,
    pub(super) mask: Mask,
    pub(super) notify: Notify,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) kind: MessageKind,
    pub(super) payload: Bytes,
    pub(super) notify: Notify,
    pub(super) form: Form,
}

impl Outgoing {
    fn shared_bytes(&self) -> usize {
        if self.form == Form::Framed { self.payload.len() } else { 0 }
    }
}

/// How a waiting payload is to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Compress,
    /// The payload is a complete frame, which other connections may share.
    Framed,
}

impl Begun {
    /// Payload bytes that are not encoded yet.
    fn remaining(&self) -> usize {
        match self {
            Self::Masking(masking) => masking.payload.len(),
            Self::Deflating(deflating) => deflating.remaining(),
        }
    }

    pub(super) fn notifies(&self) -> bool {
        match self {
            Self::Masking(masking) => masking.notify.is_yes(),
            Self::Deflating(deflating) => deflating.notifies(),
        }
    }

    pub(super) fn into_payload(self) -> Bytes {
        match self {
            Self::Masking(masking) => masking.payload,
            Self::Deflating(deflating) => deflating.into_payload(),
        }
    }
}

/// The next item to encode.
pub(super) enum Next {
    Control(ControlFrame),
    Keepalive,
    Rest(Begun),
    Data(Outgoing),
    Close(CloseFrame),
}

impl Outbox {
    pub(super) fn push(&mut self, message: Outgoing) {
        self.backlog.add(message.payload.len(), message.shared_bytes());
        self.messages.push_back(message);
    }

    /// Takes the next item: first the rest of a frame, then control frames, then messages in order, a Close last.
    /// Control frames cannot starve messages, however many follow.
    pub(super) fn pop(&mut self) -> Option<Next> {
        if matches!(self.begun, Some(Begun::Masking(_))) {
            return self.begun.take().map(Next::Rest);
        }
        let data_is_due = self.control_run >= MAX_CONTROL_RUN && self.has_data();
        if !data_is_due && let Some(next) = self.pop_control() {
            return Some(next);
        }
        self.control_run = 0;
        if let Some(begun) = self.begun.take() {
            return Some(Next::Rest(begun));
        }
        if let Some(message) = self.messages.pop_front() {
            self.backlog.remove(message.payload.len(), message.shared_bytes());
            shrink(&mut self.messages);
            return Some(Next::Data(message));
        }
        self.close.take().map(Next::Close)
    }

    fn pop_control(&mut self) -> Option<Next> {
        if std::mem::take(&mut self.keepalive) {
            return Some(Next::Keepalive);
        }
        let frame = self.pong.pop().or_else(|| self.control.pop())?;
        self.control_run += ControlQueue::entry_len(frame.payload().len());
        Some(Next::Control(frame))
    }

    /// Drops the messages, except for a frame that is partly encoded. Returns how many of them requested a completion.
    pub(super) fn drop_data(&mut self, tx: &mut TransmitQueue) -> usize {
        self.backlog = Backlog::default();
        let mut cut_off = self.messages.iter().filter(|message| message.notify.is_yes()).count();
        let begun = self.begun.take_if(|begun| matches!(begun, Begun::Deflating(_)));
        cut_off += usize::from(begun.as_ref().is_some_and(Begun::notifies));
        let messages = std::mem::take(&mut self.messages);
        let payloads = messages.into_iter().map(|message| message.payload);
        payloads.chain(begun.map(Begun::into_payload)).for_each(|payload| tx.spend(payload));
        cut_off
    }

    pub(super) fn set_pong(&mut self, payload: &[u8]) {
        self.pong.clear();
        // The queue is empty and a ping's payload has at most 125 bytes.
        let fits = self.pong.push(OpCode::Pong, payload).is_ok();
        debug_assert!(fits);
    }

    pub(super) const fn control_mut(&mut self) -> &mut ControlQueue {
        &mut self.control
    }

    pub(super) const fn control_bytes(&self) -> usize {
        self.control.used()
    }

    fn has_data(&self) -> bool {
        self.begun.is_some() || !self.messages.is_empty()
    }

    /// Allocated entries.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.messages.capacity()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len() + usize::from(self.begun.is_some())
    }

    pub(super) fn bytes(&self) -> usize {
        self.backlog.bytes() + self.begun_bytes()
    }

    fn begun_bytes(&self) -> usize {
        self.begun.as_ref().map_or(0, Begun::remaining)
    }

    /// As [`bytes`](Self::bytes), without shared payloads.
    pub(super) fn held_bytes(&self) -> usize {
        self.backlog.held_bytes() + self.begun_bytes()
    }

    pub(super) fn is_empty(&self) -> bool {
        let no_control = self.control.is_empty() && self.pong.is_empty() && !self.keepalive;
        no_control && !self.has_data() && self.close.is_none()
    }
}

/// Releases the memory of a queue that was long. The cost is amortized: at most one step per message.
fn shrink<T>(queue: &mut VecDeque<T>) {
    const SMALL: usize = 64;
    if queue.capacity() > SMALL && queue.len() < queue.capacity() / 4 {
        queue.shrink_to(queue.capacity() / 2);
    }
}
