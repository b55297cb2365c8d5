//! What a `Sender` of a handler's connection does: it puts messages, control frames and closes into the mailbox.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use ws_proto::{
    CloseCode, ConnectionState, Message, PreparedMessage,
    error::{ControlError, SendError},
    frame::{MAX_CONTROL_PAYLOAD, OpCode},
};
use ws_tokio::internal::{Attach, Feed, Locked, Outlet, Place, Standing, poll_with_clone};

use super::{AnyMessage, CloseRequest, Mailbox, State};

impl Mailbox {
    fn note_refusal(&self, error: &SendError, state: Locked<'_, State>) {
        if matches!(error, SendError::Full(())) {
            self.counters.add_refused();
            self.press(state);
        }
    }

    fn push_control(&self, opcode: OpCode, payload: &[u8]) -> Result<(), ControlError> {
        let mut state = self.lock();
        if !state.is_open() {
            return Err(ControlError::Closed);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlError::TooLong { len: payload.len() });
        }
        let control = &mut state.rare().control;
        control.push(opcode, payload).map_err(|_| ControlError::Full)?;
        self.unlock_and_wake(state);
        Ok(())
    }
}

impl Outlet for Mailbox {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut state = self.lock();
        match self.admit_newcomer(&state, message.len(), message.len()) {
            Ok(()) => {
                self.push(&mut state, AnyMessage::Message(message));
                self.unlock_and_wake(state);
                Ok(())
            }
            Err(error) => {
                self.note_refusal(&error, state);
                Err(error.map(|()| message))
            }
        }
    }

    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut state = self.lock();
        if let Err(error) = self.admit_newcomer(&state, message.payload().len(), 0) {
            self.note_refusal(&error, state);
            return Err(error);
        }
        self.push(&mut state, AnyMessage::Prepared(message.clone()));
        self.unlock_and_wake(state);
        Ok(())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
    ) -> Poll<Result<(), SendError<Message>>> {
        poll_with_clone(cx, |clone| {
            let mut state = self.lock();
            let Some(next) = message.take() else { return Some(Poll::Ready(Ok(()))) };
            let (len, standing) = (next.len(), state.senders.enter(place));
            let admitted = match standing {
                Standing::Newcomer | Standing::Promised => self.admit(&state, len, len),
                Standing::Waits => Err(SendError::Full(())),
            };
            match admitted {
                Ok(()) => {
                    self.push(&mut state, AnyMessage::Message(next));
                    self.unlock_and_wake(state);
                    return Some(Poll::Ready(Ok(())));
                }
                Err(SendError::Full(())) => *message = Some(next),
                Err(error) => return Some(Poll::Ready(Err(error.map(|()| next)))),
            }
            state.senders.wait(place, standing, len, cx.waker(), clone).then_some(Poll::Pending)
        })
    }

    fn cancelled(&self, place: Option<Place>) {
        let Some(place) = place else { return };
        let mut state = self.lock();
        state.senders.leave(place);
        self.promise_room(&mut state);
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        self.push_control(OpCode::Ping, payload)
    }

    fn pong(&self, payload: &[u8]) -> Result<(), ControlError> {
        self.push_control(OpCode::Pong, payload)
    }

    fn close(&self, code: Option<CloseCode>, reason: &str) {
        let mut state = self.lock();
        if state.is_open() {
            let mark = state.feed_mark();
            state.rare().close = Some(CloseRequest { code, reason: reason.into(), mark });
            // Messages of senders that still wait are not accepted any more.
            state.end_waiting();
            self.unlock_and_wake(state);
        }
    }

    fn abort(&self) {
        let mut state = self.lock();
        if state.connection != ConnectionState::Closed && !state.is_aborted {
            state.is_aborted = true;
            state.end_feed();
            state.drop_queued();
            state.end_waiting();
            self.unlock_and_wake(state);
        }
    }

    fn poll_closed(&self, cx: &mut Context<'_>, place: &mut Option<Place>) -> Poll<()> {
        poll_with_clone(cx, |clone| {
            let mut state = self.lock();
            if !state.is_open() {
                if let Some(place) = place.take() {
                    state.closed_waiters.leave(place);
                }
                return Some(Poll::Ready(()));
            }
            let waiters = &mut state.closed_waiters;
            waiters.wait(place, Standing::Newcomer, 0, cx.waker(), clone).then_some(Poll::Pending)
        })
    }

    fn cancelled_closed(&self, place: Place) {
        self.lock().closed_waiters.leave(place);
    }

    fn attach(&self, make: &mut dyn FnMut(Attach) -> Arc<dyn Feed>) -> Option<Arc<dyn Feed>> {
        self.attach_feed(make)
    }

    fn state(&self) -> ConnectionState {
        let state = self.lock();
        if state.connection == ConnectionState::Open && state.is_closing() {
            ConnectionState::Closing
        } else {
            state.connection
        }
    }
}
