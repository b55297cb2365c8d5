//! Frames that wait in the connection because the transport takes nothing more. They are not encoded yet, so
//! control frames may still overtake data.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    close::CloseFrame,
    control_queue::{ControlFrame, ControlQueue},
    frame::OpCode,
    message::MessageKind,
};

/// What a waiting message counts beside its payload against `write_queue_bytes`, so that a flood of empty messages
/// is bounded too.
const MESSAGE_OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    control: ControlQueue,
    /// The answer to the latest ping; it replaces the one before (RFC 6455 section 5.5.3).
    pong: ControlQueue,
    pub(super) close: Option<CloseFrame>,
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
    Data(Outgoing),
    Close(CloseFrame),
}

impl Outbox {
    pub(super) fn push(&mut self, message: Outgoing) {
        self.bytes += MESSAGE_OVERHEAD + message.payload.len();
        self.messages.push_back(message);
    }

    /// Control first, then data in order, a Close last. Control cannot starve data: the queue is bounded, and only a
    /// full turn of the connection refills it.
    pub(super) fn pop(&mut self) -> Option<Next> {
        if let Some(frame) = self.pong.pop().or_else(|| self.control.pop()) {
            return Some(Next::Control(frame));
        }
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= MESSAGE_OVERHEAD + message.payload.len();
            return Some(Next::Data(message));
        }
        self.close.take().map(Next::Close)
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
        self.messages.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.control.is_empty() && self.pong.is_empty() && self.close.is_none()
    }
}
