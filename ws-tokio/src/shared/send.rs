//! Sends: waits for room in the write queue, in order, and for the transport.

use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Message, PreparedMessage, error::SendError};

use super::{
    state::SharedState,
    transfer::{Until, ensure_paused},
};
use crate::wait_list::{Place, Standing};

/// Clones of a task's waker, made without the lock, because a clone may run code of the executor.
#[derive(Default)]
pub(crate) struct WakerClones {
    /// For the sender's place in the wait list.
    for_list: Option<Waker>,
    /// For the sender that moves the bytes.
    for_transport: Option<Waker>,
}

impl WakerClones {
    /// Makes the clones that are missing.
    pub(crate) fn fill(&mut self, waker: &Waker) {
        self.for_list.get_or_insert_with(|| waker.clone());
        self.for_transport.get_or_insert_with(|| waker.clone());
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Queues the owner's `message` once there is room. `message` is taken when it is accepted or refused. `mark` is
    /// `None` at first; keep it for the next poll.
    #[inline]
    pub(crate) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        mark: &mut Option<u64>,
    ) -> Poll<Result<(), SendError<Message>>> {
        loop {
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            match self.queue(next, mark) {
                Err(SendError::Full(back)) => *message = Some(back),
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
        mark: &mut Option<u64>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            match self.queue_prepared(message, mark) {
                Err(SendError::Full(())) => {}
                result => return Poll::Ready(result),
            }
            if self.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Moves bytes until the owner may try again. Called after it found no room.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.queued();
        let _ = self.poll_until(cx, Until::Room);
        if self.queued() < before || self.promise_room() || !self.is_open() {
            return Poll::Ready(());
        }
        if let Some(rare) = &mut self.rare {
            rare.senders.wait_as_owner();
        }
        Poll::Pending
    }

    /// Queues a sender's message once there is room and all senders that came before are served. `message` is taken
    /// when it is accepted or refused. If the task's waker must be stored, this takes it from `clones`; if there is
    /// none, it sets `waker_missing`: then poll again with clones.
    pub(crate) fn poll_queue_in_order(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
        clones: &mut WakerClones,
    ) -> Poll<Result<(), SendError<Message>>> {
        (self.waker_missing, self.waker_added) = (false, false);
        loop {
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            let (mut mark, len) = (self.mark_of(place.as_ref()), next.len());
            let standing = self.rare.as_mut().map_or(Standing::Newcomer, |rare| rare.senders.enter(place));
            let queued = match standing {
                Standing::Newcomer => self.queue_as_newcomer(next),
                Standing::Promised => self.queue_as_promised(next, mark),
                Standing::Waits => Err(SendError::Full(next)),
            };
            self.mark_refusal(&queued, &mut mark);
            match queued {
                Err(SendError::Full(back)) => *message = Some(back),
                result => return Poll::Ready(result),
            }
            let senders = &mut self.rare().senders;
            let is_stored = senders.wait(place, standing, len, cx.waker(), &mut clones.for_list);
            senders.set_mark(place.as_ref(), mark);
            let is_first = senders.is_first(place.as_ref());
            self.waker_missing = !is_stored;
            if self.waker_missing || self.has_server_task() || !is_first {
                return Poll::Pending;
            }
            // The first sender moves the bytes, because there may be no other task that does.
            match clones.for_transport.take() {
                Some(clone) => self.waiting.set_sender(clone),
                None if self.waiting.has_sender(cx.waker()) => {}
                None => {
                    self.waker_missing = true;
                    return Poll::Pending;
                }
            }
            let before = self.queued();
            let _ = self.with_waker_added(|state| state.poll_flush(cx));
            if self.queued() >= before {
                return Poll::Pending;
            }
        }
    }

    fn mark_of(&self, place: Option<&Place>) -> Option<u64> {
        self.rare.as_ref()?.senders.mark(place)
    }

    /// Waits until everything queued is written or the connection is over.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let flushed = self.poll_until(cx, Until::Written);
        self.promise_room();
        flushed
    }

    /// Waits until what was sent is written, unless a server's task writes it.
    #[inline]
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_server_task() { Poll::Ready(()) } else { self.poll_flush(cx) }
    }

    /// Moves bytes until this is the case or the connection is over. Promises no room to senders.
    fn poll_until(&mut self, cx: &mut Context<'_>, until: Until) -> Poll<()> {
        if self.driver.is_none() {
            return Poll::Ready(());
        }
        if !self.has_waker_of(cx) {
            return Poll::Pending;
        }
        self.refresh_now();
        let before = self.queued();
        if self.poll_written(cx, until).is_ready() || (until == Until::Room && self.queued() < before) {
            self.receive_pending(cx);
            return Poll::Ready(());
        }
        if !self.has_server_task() {
            // The peer may not read because it waits itself: for pongs, or until its data is read. Deadlines may pass
            // too.
            self.poll_background(cx, ensure_paused);
            return self.poll_written(cx, until);
        }
        Poll::Pending
    }

    /// Waits until the transport has taken this many of the accepted messages.
    pub(crate) fn poll_handed_over(&mut self, cx: &mut Context<'_>, number: u64) -> Poll<()> {
        if self.has_server_task() {
            return Poll::Ready(());
        }
        if self.is_handed_over(number) {
            self.refresh_now();
            self.receive_pending(cx);
            self.promise_room();
            return Poll::Ready(());
        }
        if self.poll_flush(cx).is_ready() || self.is_handed_over(number) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn is_handed_over(&self, number: u64) -> bool {
        self.driver().is_none_or(|driver| {
            let written = self.accepted().saturating_sub(driver.queued_messages() as u64);
            written >= number && !driver.is_unflushed()
        })
    }

    /// Writes what was queued, once. Does nothing under a server's task, which was woken when it was queued.
    pub(crate) fn write_queued(&mut self) {
        if self.has_server_task() {
            return;
        }
        self.refresh_now();
        let _ = self.write_out();
        if self.driver.is_none() {
            return;
        }
        self.end_step();
        self.promise_room();
        self.notify_send_end(Waker::noop());
        if self.deadline_precedes_timer() || self.is_finished() {
            self.waiting.wake_all();
        }
    }
}
