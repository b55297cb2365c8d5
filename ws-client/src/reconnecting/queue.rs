//! Messages that are sent while there is no connection.

use std::collections::VecDeque;

use ws_proto::{Message, memory::MESSAGE_OVERHEAD};
use ws_tokio::internal::{Foreign, run_unlocked};

use super::event::Discarded;

/// What happens to a message that is sent while there is no connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhileAway {
    /// It is refused with [`SendError::Away`](super::SendError::Away). An order that is no longer expected must not
    /// go out minutes later.
    #[default]
    Fail,
    /// [`send`](super::Sender::send) waits for the next connection, and `try_send` fails. The client must be polled by
    /// another task meanwhile.
    Wait,
    /// It is accepted and goes out on the next connection.
    Keep {
        /// The limit, in bytes. A message counts its payload and 64 bytes.
        bytes: usize,
        /// What happens at the limit.
        when_full: WhenFull,
    },
}

/// What happens to a message that does not fit into the queue of [`WhileAway::Keep`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused with [`SendError::Full`](super::SendError::Full).
    #[default]
    Refuse,
    /// The oldest messages are dropped until it fits. [`Event::Discarded`](super::Event::Discarded) reports them. A
    /// message that is larger than the whole queue is refused.
    DropOldest,
}

/// The queue of [`WhileAway::Keep`].
#[derive(Default)]
pub(super) struct Kept {
    messages: VecDeque<Message>,
    bytes: usize,
    discarded: Discarded,
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a message, or returns it if there is no room.
    pub(super) fn push(
        &mut self,
        message: Message,
        limit: usize,
        when_full: WhenFull,
    ) -> Result<(), Message> {
        let size = size(&message);
        if size > limit || (when_full == WhenFull::Refuse && self.bytes + size > limit) {
            return Err(message);
        }
        while self.bytes + size > limit
            && let Some(oldest) = self.pop()
        {
            self.discarded.messages += 1;
            self.discarded.bytes += oldest.len() as u64;
            run_unlocked(Foreign::Message(oldest));
        }
        self.bytes += size;
        self.messages.push_back(message);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= size(&message);
        Some(message)
    }

    /// Puts back the message that was popped last.
    pub(super) fn unpop(&mut self, message: Message) {
        self.bytes += size(&message);
        self.messages.push_front(message);
    }

    pub(super) const fn has_discarded(&self) -> bool {
        self.discarded.messages > 0
    }

    /// Returns what was discarded since the last call.
    pub(super) fn take_discarded(&mut self) -> Option<Discarded> {
        Some(std::mem::take(&mut self.discarded)).filter(|discarded| discarded.messages > 0)
    }

    /// Takes all messages.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        self.bytes = 0;
        std::mem::take(&mut self.messages).into()
    }
}

fn size(message: &Message) -> usize {
    message.len() + MESSAGE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 3 * (10 + MESSAGE_OVERHEAD);

    fn message(first: u8) -> Message {
        Message::binary(vec![first; 10])
    }

    fn full(when_full: WhenFull) -> Kept {
        let mut kept = Kept::default();
        for first in 0..3 {
            assert_eq!(kept.push(message(first), LIMIT, when_full), Ok(()));
        }
        kept
    }

    #[test]
    fn a_full_queue_refuses_the_newest() {
        let mut kept = full(WhenFull::Refuse);
        assert_eq!(kept.push(message(3), LIMIT, WhenFull::Refuse), Err(message(3)));
        assert_eq!(kept.take_all(), [message(0), message(1), message(2)]);
        assert_eq!(kept.take_discarded(), None);
    }

    #[test]
    fn or_drops_the_oldest_and_counts_them() {
        let mut kept = full(WhenFull::DropOldest);
        let two = Message::binary(vec![9; 20 + MESSAGE_OVERHEAD]);
        assert_eq!(kept.push(two.clone(), LIMIT, WhenFull::DropOldest), Ok(()));
        assert_eq!(kept.take_discarded(), Some(Discarded { messages: 2, bytes: 20 }));
        assert_eq!(kept.take_discarded(), None);
        assert_eq!(kept.take_all(), [message(2), two]);
    }

    #[test]
    fn a_message_over_the_limit_drops_nothing() {
        let mut kept = full(WhenFull::DropOldest);
        let large = Message::binary(vec![0; LIMIT]);
        assert_eq!(kept.push(large.clone(), LIMIT, WhenFull::DropOldest), Err(large));
        assert_eq!(kept.take_all().len(), 3);
    }

    #[test]
    fn a_message_that_is_put_back_is_the_first_again() {
        let mut kept = full(WhenFull::Refuse);
        let first = kept.pop().unwrap();
        kept.unpop(first);
        assert!(kept.push(message(3), LIMIT, WhenFull::Refuse).is_err());
        assert_eq!(kept.pop(), Some(message(0)));
        assert!(kept.push(message(3), LIMIT, WhenFull::Refuse).is_ok());
    }
}
