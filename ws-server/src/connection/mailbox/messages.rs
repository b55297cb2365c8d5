//! The messages that wait in a [`Mailbox`](super::Mailbox).

use std::collections::VecDeque;

use ws_proto::{Connection, Message, Notify, PreparedMessage, TransmitQueue, error::SendError};
use ws_tokio::internal::{Foreign, run_unlocked};

/// A queue of messages, first in, first out. Most mailboxes hold at most one message, which needs no allocation.
#[derive(Default)]
pub(super) struct MessageQueue {
    first: Option<QueuedMessage>,
    more: VecDeque<QueuedMessage>,
}

/// A message that waits.
pub(super) struct QueuedMessage {
    pub(super) message: AnyMessage,
    /// Of the connection's feed, what came before this mark goes first. 0 without a feed.
    pub(super) mark: u64,
}

/// Capacity that the queue keeps for the next burst, in messages.
const KEPT_CAPACITY: usize = 64;

/// A message of a sender, prepared or not.
pub(super) enum AnyMessage {
    Message(Message),
    Prepared(PreparedMessage),
}

impl AnyMessage {
    /// Payload bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Prepared(message) => message.payload().len(),
        }
    }

    /// Payload bytes that other connections share.
    pub(super) fn shared_len(&self) -> usize {
        match self {
            Self::Message(_) => 0,
            Self::Prepared(message) => message.payload().len(),
        }
    }

    /// Sends the message on its connection. The error gives it back.
    pub(super) fn send(
        self,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Self>> {
        match self {
            Self::Message(message) => {
                connection.send_message(message, Notify::No, tx).map_err(|error| error.map(Self::Message))
            }
            Self::Prepared(message) => match connection.send_prepared(&message, Notify::No, tx) {
                Ok(()) => {
                    Self::Prepared(message).drop_unlocked();
                    Ok(())
                }
                Err(error) => Err(error.map(|()| Self::Prepared(message))),
            },
        }
    }

    /// Drops the message after the mailbox is unlocked: its payload may have a destructor.
    pub(super) fn drop_unlocked(self) {
        run_unlocked(match self {
            // A payload without an owner runs no foreign code.
            Self::Prepared(message) if message.payload().is_unique() => return,
            Self::Message(message) => Foreign::Message(message),
            Self::Prepared(message) => Foreign::Prepared(message),
        });
    }
}

impl MessageQueue {
    pub(super) fn push(&mut self, message: QueuedMessage) {
        if self.is_empty() {
            self.first = Some(message);
        } else {
            self.more.push_back(message);
        }
    }

    pub(super) fn pop(&mut self) -> Option<QueuedMessage> {
        let message = self.first.take().or_else(|| self.more.pop_front());
        if self.more.capacity() > KEPT_CAPACITY && self.more.len() < self.more.capacity() / 4 {
            self.more.shrink_to(self.more.capacity() / 2);
        }
        message
    }

    /// Puts the message that was popped last back to the front.
    pub(super) fn put_back(&mut self, message: QueuedMessage) {
        self.first = Some(message);
    }

    /// The mark of the message that is next.
    pub(super) fn first_mark(&self) -> Option<u64> {
        self.first.as_ref().or_else(|| self.more.front()).map(|message| message.mark)
    }

    /// Drops all messages after the mailbox is unlocked.
    pub(super) fn drop_unlocked(&mut self) {
        let Self { first, more } = std::mem::take(self);
        first.into_iter().chain(more).for_each(|QueuedMessage { message, .. }| message.drop_unlocked());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }
}
