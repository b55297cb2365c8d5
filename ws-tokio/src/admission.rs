//! Which messages a connection takes: room is promised to senders that wait, in order.

use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Message, PreparedMessage, SendError};

use crate::{
    core::{Core, Mode},
    wait_list::{Entry, Place},
};

impl<S> Core<S> {
    /// Queues a message of the connection's owner, if there is room that is not promised to senders.
    pub(crate) fn queue(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if !self.senders.is_empty() && !self.owner_may_send(message.len()) {
            return Err(SendError::WriteBusy(message));
        }
        self.queue_at_once(message)
    }

    /// As [`queue`](Self::queue), for a sender that does not wait: those who do come first.
    pub(crate) fn queue_as_newcomer(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if !self.senders.is_empty() && !self.newcomer_may_send(message.len()) {
            return Err(SendError::WriteBusy(message));
        }
        self.queue_at_once(message)
    }

    /// Queues a message, if there is room.
    pub(crate) fn queue_at_once(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let Some(driver) = &mut self.driver else { return Err(SendError::InvalidState(message)) };
        let (connection, tx) = driver.parts_mut();
        connection.send_message(message, false, tx)?;
        self.accepted += 1;
        self.wake_server_task();
        Ok(())
    }

    /// As [`queue`](Self::queue).
    pub(crate) fn queue_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if !self.senders.is_empty() && !self.owner_may_send(message.payload().len()) {
            return Err(SendError::WriteBusy(()));
        }
        self.queue_prepared_at_once(message)
    }

    /// As [`queue_as_newcomer`](Self::queue_as_newcomer).
    pub(crate) fn queue_prepared_as_newcomer(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if !self.senders.is_empty() && !self.newcomer_may_send(message.payload().len()) {
            return Err(SendError::WriteBusy(()));
        }
        self.queue_prepared_at_once(message)
    }

    fn queue_prepared_at_once(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let Some(driver) = &mut self.driver else { return Err(SendError::InvalidState(())) };
        let (connection, tx) = driver.parts_mut();
        connection.send_prepared(message, false, tx)?;
        self.accepted += 1;
        self.wake_server_task();
        Ok(())
    }

    /// Whether the owner may send while senders wait, or something is promised to them.
    fn owner_may_send(&mut self, len: usize) -> bool {
        !self.is_open() || (self.has_room_beside_senders(len) && self.senders.may_pass())
    }

    fn newcomer_may_send(&self, len: usize) -> bool {
        !self.is_open() || (!self.senders.has_waiting() && self.has_room_beside_senders(len))
    }

    fn has_room_beside_senders(&self, len: usize) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.has_room_beside(len, &self.senders.promised()))
    }

    /// Promises the room that there is to senders that wait, and tells them if there will be none any more. Says whether
    /// something was promised.
    pub(crate) fn let_senders_in(&mut self) -> bool {
        if self.senders.is_empty() {
            return false;
        }
        let Some(driver) = self.driver.as_ref().filter(|_| self.is_open()) else {
            self.senders.end();
            return false;
        };
        let any = self.senders.promise(|len, promised| driver.has_room_beside(len, promised));
        if any {
            self.change_first_sender();
        }
        any
    }

    /// A sender gives its place up.
    pub(crate) fn leave(&mut self, place: Place) {
        let was_first = self.senders.is_first(Some(&place));
        self.senders.leave(place);
        if !self.let_senders_in() && was_first {
            self.change_first_sender();
        }
    }

    /// Without a server's task the first sender that waits moves the bytes; another one is the first now.
    fn change_first_sender(&mut self) {
        if matches!(self.mode, Mode::Inline { .. }) {
            self.waiting.forget_sender();
            self.senders.wake_first();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    /// Queues the owner's `message` once there is room; it is taken when it is accepted or refused.
    pub(crate) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), SendError<Message>>> {
        loop {
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            match self.queue(next) {
                Err(SendError::WriteBusy(back)) => *message = Some(back),
                result => return Poll::Ready(result),
            }
            if self.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Queues a prepared message of the owner once there is room.
    pub(crate) fn poll_queue_prepared(
        &mut self,
        cx: &mut Context<'_>,
        message: &PreparedMessage,
    ) -> Poll<Result<(), SendError>> {
        loop {
            match self.queue_prepared(message) {
                Err(SendError::WriteBusy(())) => {}
                result => return Poll::Ready(result),
            }
            if self.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Moves bytes until the owner, which found no room, may try again.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.queued();
        let _ = self.poll_flush_or_room(cx, true);
        if self.queued() < before || self.let_senders_in() || !self.is_open() {
            return Poll::Ready(());
        }
        self.senders.wait_as_owner();
        Poll::Pending
    }

    /// Queues a sender's message once there is room and those who came before have had theirs; it is taken when it is
    /// accepted or refused. If the connection is short of the task's waker, it takes `waker`; if there is none, it sets
    /// `is_unknown`: then poll again with one.
    pub(crate) fn poll_queue_in_order(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
        waker: &mut Option<Waker>,
    ) -> Poll<Result<(), SendError<Message>>> {
        self.is_unknown = false;
        loop {
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            let (len, entry) = (next.len(), self.senders.enter(place));
            let queued = match entry {
                Entry::Newcomer => self.queue_as_newcomer(next),
                Entry::Promised => self.queue_at_once(next),
                Entry::Waits => Err(SendError::WriteBusy(next)),
            };
            match queued {
                Err(SendError::WriteBusy(back)) => *message = Some(back),
                result => return Poll::Ready(result),
            }
            self.is_unknown = !self.senders.wait(place, entry == Entry::Promised, len, cx.waker(), waker);
            if self.is_unknown || self.is_served() || !self.senders.is_first(place.as_ref()) {
                return Poll::Pending;
            }
            // It moves the bytes, for there may be no other task that does.
            self.is_unknown = !self.waiting.register_sender(cx.waker(), waker);
            if self.is_unknown {
                return Poll::Pending;
            }
            let before = self.queued();
            let _ = self.poll_flush(cx);
            if self.queued() == before {
                return Poll::Pending;
            }
        }
    }
}
