//! Decides whether a message may be queued. Room is promised to waiting senders, in the order of their arrival.

use ws_proto::{Message, Notify, PreparedMessage, error::SendError};

use super::state::{Mode, SharedState};
use crate::wait_list::Place;

impl<S> SharedState<S> {
    /// Queues a message of the connection's owner if there is room that is not promised to senders.
    pub(crate) fn queue(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if !self.senders.is_empty() && !self.owner_may_send(message.len()) {
            return Err(SendError::Full(message));
        }
        self.queue_ignoring_promises(message)
    }

    /// Queues a message of a sender that does not wait, if there is room and no other sender waits.
    pub(crate) fn queue_as_newcomer(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if !self.senders.is_empty() && !self.newcomer_may_send(message.len()) {
            return Err(SendError::Full(message));
        }
        self.queue_ignoring_promises(message)
    }

    /// Queues a message if there is room, promised or not.
    pub(crate) fn queue_ignoring_promises(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let Some(driver) = &mut self.driver else { return Err(SendError::Closed(message)) };
        let (connection, tx) = driver.parts_mut();
        connection.send_message(message, Notify::No, tx)?;
        self.accepted += 1;
        self.wake_idle_server_task();
        Ok(())
    }

    /// Queues a prepared message, as [`queue`](Self::queue) does.
    pub(crate) fn queue_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if !self.senders.is_empty() && !self.owner_may_send(message.payload().len()) {
            return Err(SendError::Full(()));
        }
        self.queue_prepared_ignoring_promises(message)
    }

    /// Queues a prepared message, as [`queue_as_newcomer`](Self::queue_as_newcomer) does.
    pub(crate) fn queue_prepared_as_newcomer(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if !self.senders.is_empty() && !self.newcomer_may_send(message.payload().len()) {
            return Err(SendError::Full(()));
        }
        self.queue_prepared_ignoring_promises(message)
    }

    fn queue_prepared_ignoring_promises(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let Some(driver) = &mut self.driver else { return Err(SendError::Closed(())) };
        let (connection, tx) = driver.parts_mut();
        connection.send_prepared(message, Notify::No, tx)?;
        self.accepted += 1;
        self.wake_idle_server_task();
        Ok(())
    }

    /// Returns whether the owner may send while senders wait or have promises.
    fn owner_may_send(&mut self, len: usize) -> bool {
        !self.is_open() || (self.has_room_beside_senders(len) && self.senders.owner_may_pass())
    }

    fn newcomer_may_send(&self, len: usize) -> bool {
        !self.is_open() || (!self.senders.has_waiting() && self.has_room_beside_senders(len))
    }

    fn has_room_beside_senders(&self, len: usize) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.has_room_beside(len, &self.senders.promised()))
    }

    /// Promises free room to waiting senders. If the connection is not open, wakes them all instead. Returns whether
    /// room was promised.
    pub(crate) fn promise_room(&mut self) -> bool {
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

    /// Removes a sender from the wait list.
    pub(crate) fn leave_wait_list(&mut self, place: Place) {
        let was_first = self.senders.is_first(Some(&place));
        self.senders.leave(place);
        if !self.promise_room() && was_first {
            self.change_first_sender();
        }
    }

    /// Makes the new first sender move the bytes. Needed only without a server's task.
    fn change_first_sender(&mut self) {
        if matches!(self.mode, Mode::Inline { .. }) {
            self.waiting.release_sender();
            self.senders.wake_first();
        }
    }
}
