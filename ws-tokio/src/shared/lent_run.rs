//! Messages that were taken from a connection together.

use ws_proto::{Message, MessageRun, ReceivedMessages};

use crate::thread_buffers::{LendPermit, ThreadReceiveBuffer};

/// Messages that the application gets one after the other, without the connection. They may be in the receive buffer of
/// the thread that has received them. It returns there when they are taken or dropped.
pub(crate) struct LentRun {
    pub(crate) messages: MessageRun,
    /// Present if they are in a thread's buffer.
    permit: Option<LendPermit>,
}

impl LentRun {
    /// Messages that are in a thread's receive buffer.
    pub(super) fn in_buffer(
        messages: ReceivedMessages,
        rx: ThreadReceiveBuffer,
        permit: LendPermit,
    ) -> Option<Self> {
        let messages = MessageRun::in_buffer(messages, rx.into_buffer()?);
        Some(Self { messages, permit: Some(permit) })
    }

    /// What is left, to be put back into the connection.
    pub(crate) fn into_rest(mut self) -> MessageRun {
        self.give_back();
        std::mem::replace(&mut self.messages, MessageRun::empty())
    }

    /// Makes an owned message of the next one. With the last one, the buffer returns to its thread.
    #[inline]
    pub(crate) fn take_message(&mut self) -> Option<Message> {
        let message = self.messages.take_message();
        if self.permit.is_some() && self.messages.is_empty() {
            self.give_back();
        }
        message
    }

    /// Returns the buffer to its thread. What is left in it is copied.
    fn give_back(&mut self) {
        if let Some(permit) = self.permit.take()
            && let Some(rx) = self.messages.take_buffer()
        {
            permit.give_back(rx);
        }
    }
}

impl From<MessageRun> for LentRun {
    fn from(messages: MessageRun) -> Self {
        Self { messages, permit: None }
    }
}

impl Drop for LentRun {
    fn drop(&mut self) {
        self.messages.skip_all();
        self.give_back();
    }
}
