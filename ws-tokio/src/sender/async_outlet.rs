//! The outlet of a [`WebSocket`](crate::WebSocket).

use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{
    CloseCode, Connection, ConnectionState, Message, MessageRef, PreparedMessage,
    error::{ControlError, SendError},
};

use super::outlet::Outlet;
use crate::{
    feed::{Attach, Feed},
    shared::{SharedState, StateGuard, WakerClones, lock, lock_and_poll, lock_briefly, poll_closed},
    wait_list::Place,
};

/// Attempts within one poll of a send: one that finds that the waker must be stored, and one after each wake-up in
/// between.
const MAX_ATTEMPTS: usize = 4;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Outlet for Mutex<SharedState<S>> {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut state = lock(self);
        let queued = state.queue_as_newcomer(message);
        state.count_refusal(&queued);
        queued?;
        state.write_queued();
        Ok(())
    }

    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut state = lock(self);
        let queued = state.queue_prepared_as_newcomer(message);
        state.count_refusal(&queued);
        queued?;
        state.write_queued();
        Ok(())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
    ) -> Poll<Result<(), SendError<Message>>> {
        let mut clones = WakerClones::default();
        for _ in 0..MAX_ATTEMPTS {
            let mut state = lock(self);
            let result = state.poll_queue_in_order(cx, message, place, &mut clones);
            if result.is_ready() {
                state.write_queued();
            }
            if result.is_ready() || !state.waker_missing {
                return result;
            }
            drop(state);
            clones.fill(cx.waker());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn send_lent(&self, message: &MessageRef<'_>) -> Result<Option<u64>, SendError> {
        let may_be_invalid = message.is_text() && !message.is_validated();
        // What is not valid is sent as an owned message is: as binary. A large message mostly takes the memory that it
        // is in, and is written from there.
        if may_be_invalid || message.len() >= Connection::IN_PLACE_FROM {
            return Err(SendError::Full(()));
        }
        let mut state = lock_briefly(self);
        if state.queue_in_turn(message.kind(), message.as_bytes()) {
            return Ok(None);
        }
        let mut state = StateGuard::of(state);
        state.queue_lent_as_newcomer(message)?;
        let number = (!state.has_server_task()).then(|| state.accepted());
        state.write_queued();
        Ok(number)
    }

    fn poll_handed_over(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<()> {
        lock_and_poll(self, cx, |state, cx| {
            let number = *number.get_or_insert_with(|| state.accepted());
            state.poll_handed_over(cx, number)
        })
    }

    fn cancelled(&self, place: Option<Place>) {
        let mut state = lock(self);
        match place {
            Some(place) => state.leave_wait_list(place),
            // Removes the waker of the dropped future; tasks that still wait register again. Without this, wakers of
            // dropped futures would accumulate behind a slow peer.
            None => state.waiting.wake_all(),
        }
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut state = lock(self);
        state.queue_ping(payload)?;
        state.write_queued();
        Ok(())
    }

    fn pong(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut state = lock(self);
        state.queue_pong(payload)?;
        state.write_queued();
        Ok(())
    }

    fn close(&self, code: Option<CloseCode>, reason: &str) {
        let mut state = lock(self);
        state.queue_close_and_receive(code, reason);
        state.write_queued();
    }

    fn abort(&self) {
        lock(self).abort();
    }

    fn poll_closed(&self, cx: &mut Context<'_>, place: &mut Option<Place>) -> Poll<()> {
        poll_closed(self, cx, place)
    }

    fn cancelled_closed(&self, place: Place) {
        lock(self).leave_closed_waiters(place);
    }

    fn attach(&self, make: &mut dyn FnMut(Attach) -> Arc<dyn Feed>) -> Option<Arc<dyn Feed>> {
        lock(self).attach(make)
    }

    fn state(&self) -> ConnectionState {
        lock(self).state()
    }
}
