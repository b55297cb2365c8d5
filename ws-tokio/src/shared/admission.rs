//! Decides whether a message may be queued. Room is promised to waiting senders, in the order of their arrival.

use ws_proto::{
    Message, MessageKind, MessageRef, Notify, PreparedMessage, error::SendError, memory::Backlog,
};

use super::{mode::Mode, rare::Rare, state::SharedState};
use crate::wait_list::Place;

impl<S> SharedState<S> {
    /// Queues a message of the connection's owner if there is room that is not promised to senders.
    /// `mark` is `None` at first; keep it for the next attempt to send the same message.
    pub(crate) fn queue(
        &mut self,
        message: Message,
        mark: &mut Option<u64>,
    ) -> Result<(), SendError<Message>> {
        let may_send = self.owner_may_queue(message.len(), *mark);
        let queued = if may_send { self.push(message) } else { Err(SendError::Full(message)) };
        self.mark_refusal(&queued, mark);
        queued
    }

    /// Queues a copy of a message in a turn of a server's task, if nothing else has to be done. Returns whether it is
    /// queued; if not, call [`queue_fast`](Self::queue_fast) for the owner, or
    /// [`queue_as_newcomer`](Self::queue_as_newcomer).
    #[inline]
    pub(crate) fn queue_in_turn(&mut self, kind: MessageKind, payload: &[u8]) -> bool {
        self.is_application_turn() && self.queue_plainly(kind, payload)
    }

    /// Queues a copy of the owner's message in the same way, without a server's task. If it is not queued, call
    /// [`queue`](Self::queue).
    #[inline]
    pub(crate) fn queue_fast(&mut self, kind: MessageKind, payload: &[u8]) -> bool {
        let is_queued = !self.has_server_task() && self.queue_plainly(kind, payload);
        self.note_accepted(u64::from(is_queued));
        is_queued
    }

    #[inline]
    fn queue_plainly(&mut self, kind: MessageKind, payload: &[u8]) -> bool {
        if self.rare.is_some() {
            return false;
        }
        let Some(driver) = &mut self.driver else { return false };
        let (connection, tx) = driver.parts_mut();
        connection.send_if_plain(kind, payload, tx)
    }

    /// Queues a message of a sender that does not wait, if there is room and no other sender waits.
    pub(crate) fn queue_as_newcomer(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let may_send = self.newcomer_may_queue(message.len());
        if may_send { self.push(message) } else { Err(SendError::Full(message)) }
    }

    /// Queues a copy of a lent message, as [`queue_as_newcomer`](Self::queue_as_newcomer) does.
    pub(crate) fn queue_lent_as_newcomer(&mut self, message: &MessageRef<'_>) -> Result<(), SendError> {
        if !self.newcomer_may_queue(message.len()) {
            return Err(SendError::Full(()));
        }
        let Some(driver) = &mut self.driver else { return Err(SendError::Closed(())) };
        let (connection, tx) = driver.parts_mut();
        connection.send(message.kind(), message.as_bytes(), tx)?;
        self.note_queued();
        Ok(())
    }

    /// Counts a message that is refused for good: its sender does not wait.
    pub(crate) fn count_refusal<P>(&mut self, queued: &Result<(), SendError<P>>) {
        if matches!(queued, Err(SendError::Full(_)))
            && let Some(counters) = &self.counters
        {
            counters.add_refused();
            self.note_refusal();
        }
    }

    /// Queues a message of a sender that was promised room. Of the feed, only what came before `mark` goes first.
    pub(crate) fn queue_as_promised(
        &mut self,
        message: Message,
        mark: Option<u64>,
    ) -> Result<(), SendError<Message>> {
        if self.fill_ignoring_promises(mark) { self.push(message) } else { Err(SendError::Full(message)) }
    }

    /// Queues a message that was accepted before, beyond the limits of the queue. Of the feed, what came before `mark`
    /// goes first, as far as there is room.
    pub(crate) fn queue_accepted(
        &mut self,
        message: Message,
        mark: Option<u64>,
    ) -> Result<(), SendError<Message>> {
        self.fill_ignoring_promises(mark);
        let Some(driver) = &mut self.driver else { return Err(SendError::Closed(message)) };
        let (connection, tx) = driver.parts_mut();
        connection.send_accepted(message, tx)?;
        self.note_queued();
        Ok(())
    }

    /// Queues a message if there is room, promised or not.
    fn push(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let Some(driver) = &mut self.driver else { return Err(SendError::Closed(message)) };
        let (connection, tx) = driver.parts_mut();
        connection.send_message(message, Notify::No, tx)?;
        self.note_queued();
        Ok(())
    }

    /// Notes that a message was queued, and makes a server's task write it.
    #[inline]
    fn note_queued(&mut self) {
        self.note_accepted(1);
        self.wake_idle_server_task();
    }

    /// Number of messages that were accepted so far. Not counted under a server's task.
    pub(crate) const fn accepted(&self) -> u64 {
        if let Mode::Inline { accepted, .. } = self.mode { accepted } else { 0 }
    }

    /// Notes that messages were accepted.
    #[inline]
    pub(super) const fn note_accepted(&mut self, messages: u64) {
        if let Mode::Inline { accepted, .. } = &mut self.mode {
            *accepted += messages;
        }
    }

    /// Queues a prepared message, as [`queue`](Self::queue) does.
    pub(crate) fn queue_prepared(
        &mut self,
        message: &PreparedMessage,
        mark: &mut Option<u64>,
    ) -> Result<(), SendError> {
        let may_send = self.owner_may_queue(message.payload().len(), *mark);
        let queued = if may_send { self.push_prepared(message) } else { Err(SendError::Full(())) };
        self.mark_refusal(&queued, mark);
        queued
    }

    /// Queues a prepared message, as [`queue_as_newcomer`](Self::queue_as_newcomer) does.
    pub(crate) fn queue_prepared_as_newcomer(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let may_send = self.newcomer_may_queue(message.payload().len());
        if may_send { self.push_prepared(message) } else { Err(SendError::Full(())) }
    }

    fn push_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let Some(driver) = &mut self.driver else { return Err(SendError::Closed(())) };
        let (connection, tx) = driver.parts_mut();
        connection.send_prepared(message, Notify::No, tx)?;
        self.note_queued();
        Ok(())
    }

    /// Returns whether a sender waits or was promised room.
    #[inline]
    pub(super) fn has_senders(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.senders.is_empty())
    }

    pub(super) fn has_waiting_senders(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.senders.has_waiting())
    }

    /// Returns the room that senders were promised.
    pub(super) fn promised(&self) -> Backlog {
        self.rare.as_ref().map_or_else(Backlog::default, |rare| rare.senders.promised())
    }

    /// Returns whether the owner may queue a message of `len` bytes, behind what came before `mark` in the feed.
    #[inline]
    fn owner_may_queue(&mut self, len: usize, mark: Option<u64>) -> bool {
        self.fill_before(len, mark) && (!self.has_senders() || self.owner_may_send(len))
    }

    /// Returns whether a sender that does not wait may queue a message of `len` bytes, behind what waits in the feed.
    #[inline]
    fn newcomer_may_queue(&mut self, len: usize) -> bool {
        self.fill_before(len, None) && (!self.has_senders() || self.newcomer_may_send(len))
    }

    /// Returns whether the owner may send while senders wait or have promises.
    fn owner_may_send(&mut self, len: usize) -> bool {
        if !self.is_open() {
            return true;
        }
        let may_pass = |rare: &mut Box<Rare<S>>| rare.senders.owner_may_pass();
        self.has_room_beside_senders(len) && self.rare.as_mut().is_none_or(may_pass)
    }

    fn newcomer_may_send(&self, len: usize) -> bool {
        !self.is_open() || (!self.has_waiting_senders() && self.has_room_beside_senders(len))
    }

    pub(super) fn has_room_beside_senders(&self, len: usize) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.has_room_beside(len, &self.promised()))
    }

    /// Promises free room to waiting senders. If the connection is not open, wakes them all instead. Returns whether
    /// room was promised.
    #[inline]
    pub(crate) fn promise_room(&mut self) -> bool {
        self.has_senders() && self.promise_room_to_senders()
    }

    fn promise_room_to_senders(&mut self) -> bool {
        let is_open = self.is_open();
        let Some(rare) = &mut self.rare else { return false };
        let Some(driver) = self.driver.as_ref().filter(|_| is_open) else {
            rare.senders.end();
            return false;
        };
        let any = rare.senders.promise(|len, promised| driver.has_room_beside(len, promised));
        if any {
            self.change_first_sender();
        }
        any
    }

    /// Removes a sender from the wait list.
    pub(crate) fn leave_wait_list(&mut self, place: Place) {
        let senders = &mut self.rare().senders;
        let was_first = senders.is_first(Some(&place));
        senders.leave(place);
        if !self.promise_room() && was_first {
            self.change_first_sender();
        }
        self.wake_for_feed();
    }

    /// Makes the new first sender move the bytes. Needed only without a server's task.
    fn change_first_sender(&mut self) {
        if !self.has_server_task() {
            self.waiting.release_sender();
            self.rare().senders.wake_first();
        }
    }
}
