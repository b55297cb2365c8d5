//! Frames that wait in the connection because the transport takes nothing more. They are not encoded yet, so
//! control frames may still overtake data.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    close::CloseFrame,
    control_queue::{CONTROL_QUEUE_CAPACITY, ControlFrame, ControlQueue},
    frame::OpCode,
    mask::Mask,
    message::MessageKind,
};

/// What a waiting message counts beside its payload against `write_queue_bytes`, so that a flood of empty messages
/// is bounded too.
const MESSAGE_OVERHEAD: usize = 64;
/// How many bytes of control frames may overtake waiting data before a message must go: all that wait at one time, and
/// not the endless ones that a flood of pings brings.
const MAX_CONTROL_RUN: usize = 2 * CONTROL_QUEUE_CAPACITY;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    control: ControlQueue,
    /// Bytes of control frames that went out since the last message.
    control_run: usize,
    /// A keepalive ping waits.
    pub(super) keepalive: bool,
    /// The answer to the latest ping; it replaces the one before (RFC 6455 section 5.5.3).
    pong: ControlQueue,
    pub(super) close: Option<CloseFrame>,
    /// A frame whose header is encoded; nothing may come between.
    pub(super) begun: Option<Begun>,
}

/// The rest of a client's large frame, not masked yet.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) payload: Bytes,
    pub(super) mask: Mask,
    pub(super) notify: bool,
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) kind: MessageKind,
    pub(super) payload: Bytes,
    pub(super) notify: bool,
}

/// What goes out next.
pub(super) enum Next {
    Control(ControlFrame),
    Keepalive,
    Data(Outgoing),
    Close(CloseFrame),
}

impl Outbox {
    pub(super) fn push(&mut self, message: Outgoing) {
        self.bytes += MESSAGE_OVERHEAD + message.payload.len();
        self.messages.push_back(message);
    }

    /// Control first, then data in order, a Close last. Control cannot starve data, however fast it is refilled.
    pub(super) fn pop(&mut self) -> Option<Next> {
        let data_is_due = self.control_run >= MAX_CONTROL_RUN && !self.messages.is_empty();
        if !data_is_due && let Some(next) = self.pop_control() {
            return Some(next);
        }
        self.control_run = 0;
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= MESSAGE_OVERHEAD + message.payload.len();
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

    /// Forgets the data messages; how many of them asked for a report.
    pub(super) fn drop_data(&mut self) -> usize {
        self.bytes = 0;
        let cut_off = self.messages.iter().filter(|message| message.notify).count();
        self.messages = VecDeque::new();
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

    pub(super) fn len(&self) -> usize {
        self.messages.len() + usize::from(self.begun.is_some())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.begun.as_ref().map_or(0, |begun| begun.payload.len())
    }

    /// Whether an unfinished frame asked for a report.
    pub(super) fn begun_notifies(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.notify)
    }

    pub(super) fn is_empty(&self) -> bool {
        let no_control = self.control.is_empty() && self.pong.is_empty() && !self.keepalive;
        no_control && self.begun.is_none() && self.messages.is_empty() && self.close.is_none()
    }
}
