//! Messages in a mailbox.

use std::collections::VecDeque;

use ws_proto::{Connection, Message, PreparedMessage, SendError, TransmitQueue};

/// Mostly there is one.
#[derive(Default)]
pub(crate) struct Letters {
    first: Option<Letter>,
    more: VecDeque<Letter>,
}

/// So few entries are kept for the next burst.
const SMALL_QUEUE: usize = 64;

pub(crate) enum Letter {
    Message(Message),
    Prepared(PreparedMessage),
}

impl Letter {
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
            Self::Prepared(message) => connection
                .send_prepared(&message, false, tx)
                .map_err(|error| error.map(|()| Self::Prepared(message))),
        }
    }
}

impl Letters {
    pub(crate) fn push(&mut self, letter: Letter) {
        if self.is_empty() {
            self.first = Some(letter);
        } else {
            self.more.push_back(letter);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Letter> {
        let letter = self.first.take().or_else(|| self.more.pop_front());
        if self.more.capacity() > SMALL_QUEUE && self.more.len() < self.more.capacity() / 4 {
            self.more.shrink_to(self.more.capacity() / 2);
        }
        letter
    }

    /// What was popped last, again at the front.
    pub(crate) fn put_back(&mut self, letter: Letter) {
        self.first = Some(letter);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }
}
