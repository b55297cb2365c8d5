//! What is held for a paused application: taking it one item at a time, and control frames.

use crate::{
    frame::OpCode,
    message::{Message, MessageKind},
};

use super::{Connection, Flow, HeldEvent, closing::Phase};

impl Connection {
    /// Takes the oldest held message, even while the application is paused, and parses no received bytes. It is for a
    /// driver that takes messages one at a time. Held pings and pongs before that message are dropped. `None`: call
    /// [`poll_event`](Self::poll_event).
    #[inline]
    pub fn take_held(&mut self) -> Option<Message> {
        loop {
            if let HeldEvent::Message(message) = self.take_held_event()? {
                return Some(message);
            }
        }
    }

    /// Takes the oldest held message, if the connection is [on hold](Self::hold) and stays so. It does what
    /// [`resume`](Self::resume), [`take_held`](Self::take_held) and `hold` do together. `None`: call these.
    #[doc(hidden)]
    #[inline]
    pub fn take_next_held(&mut self) -> Option<Message> {
        if self.inbox.is_none() { None } else { self.take_next_of_inbox() }
    }

    fn take_next_of_inbox(&mut self) -> Option<Message> {
        if !matches!(self.flow, Flow::Hold) || self.phase != Phase::Open {
            return None;
        }
        self.note_stall();
        let (kind, payload) = self.inbox.as_mut()?.pop_message()?;
        Some(Message::received(kind, self.config.validate_utf8, payload))
    }

    /// Takes the oldest held message, ping or pong, as [`take_held`](Self::take_held) does.
    #[inline]
    pub fn take_held_event(&mut self) -> Option<HeldEvent> {
        if self.phase != Phase::Open {
            return None;
        }
        let (opcode, payload) = self.inbox.as_mut()?.pop_bytes()?;
        let kind = match opcode {
            OpCode::Ping => return Some(HeldEvent::Ping(payload)),
            OpCode::Pong => return Some(HeldEvent::Pong(payload)),
            opcode => MessageKind::from_opcode(opcode)?,
        };
        Some(HeldEvent::Message(Message::received(kind, self.config.validate_utf8, payload)))
    }

    /// Holds a ping behind the held messages, for an application that must see control frames and messages in the order
    /// in which they arrived. After [`resume`](Self::resume), [`poll_event`](Self::poll_event) returns it again in its
    /// place.
    ///
    /// Call it with the payload of an [`Event::Ping`](super::Event::Ping) as soon as `poll_event` returns one while the
    /// application is [paused](Self::is_paused); at any other time nothing is held. The frame counts towards
    /// `max_held_bytes`, with its header. A connection whose driver does not call this holds no control frames.
    pub fn hold_ping(&mut self, payload: &[u8]) {
        self.hold_control(OpCode::Ping, payload);
    }

    /// Holds a pong, as [`hold_ping`](Self::hold_ping) holds a ping.
    pub fn hold_pong(&mut self, payload: &[u8]) {
        self.hold_control(OpCode::Pong, payload);
    }

    fn hold_control(&mut self, opcode: OpCode, payload: &[u8]) {
        if self.is_paused() && self.phase.delivers() {
            self.inbox.get_or_insert_default().push_slice(opcode, payload, 0);
        }
    }
}
