//! Messages in a mailbox.

use std::collections::VecDeque;

use ws_proto::{Connection, Message, PreparedMessage, SendError, TransmitQueue};
use ws_tokio::internal::{Foreign, run_unlocked};

/// Mostly there is one.
#[derive(Default)]
pub(crate) struct Letters {
    first: Option<Queued>,
    more: VecDeque<Queued>,
}

/// So few entries are kept for the next burst.
const SMALL_QUEUE: usize = 64;

pub(crate) enum Queued {
    Message(Message),
    Prepared(PreparedMessage),
}

impl Queued {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Prepared(message) => message.payload().len(),
        }
    }

    /// Bytes that others have too.
    pub(crate) fn shared_len(&self) -> usize {
        match self {
            Self::Message(_) => 0,
            Self::Prepared(message) => message.payload().len(),
        }
    }

    pub(crate) fn send(
        self,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Self>> {
        match self {
            Self::Message(message) => {
                connection.send_message(message, false, tx).map_err(|error| error.map(Self::Message))
            }
            Self::Prepared(message) => match connection.send_prepared(&message, false, tx) {
                Ok(()) => {
                    Self::Prepared(message).give_up();
                    Ok(())
                }
                Err(error) => Err(error.map(|()| Self::Prepared(message))),
            },
        }
    }

    /// Drops it once the mailbox is not locked: its payload may have a destructor.
    pub(crate) fn give_up(self) {
        run_unlocked(match self {
            // Memory without an owner, as most are.
            Self::Prepared(message) if message.payload().is_unique() => return,
            Self::Message(message) => Foreign::Message(message),
            Self::Prepared(message) => Foreign::Prepared(message),
        });
    }
}

impl Letters {
    pub(crate) fn push(&mut self, letter: Queued) {
        if self.is_empty() {
            self.first = Some(letter);
        } else {
            self.more.push_back(letter);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let letter = self.first.take().or_else(|| self.more.pop_front());
        if self.more.capacity() > SMALL_QUEUE && self.more.len() < self.more.capacity() / 4 {
            self.more.shrink_to(self.more.capacity() / 2);
        }
        letter
    }

    /// What was popped last, again at the front.
    pub(crate) fn put_back(&mut self, letter: Queued) {
        self.first = Some(letter);
    }

    /// Drops all of them once the mailbox is not locked.
    pub(crate) fn give_up(&mut self) {
        let Self { first, more } = std::mem::take(self);
        first.into_iter().chain(more).for_each(Queued::give_up);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }
}
