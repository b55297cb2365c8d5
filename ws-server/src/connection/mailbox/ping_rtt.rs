//! Pings that other tasks time. Their pongs come from the connection's turn.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use ws_proto::{
    error::ControlError,
    frame::{ControlQueue, OpCode},
};
use ws_tokio::{
    Error,
    internal::{PendingPings, PingOutlet, poll_with_clone},
};

use super::{Mailbox, State};

impl Mailbox {
    /// The connection received a pong.
    pub(in crate::connection) fn on_pong(&self, payload: &[u8]) {
        if let Some(rare) = &mut self.lock().rare {
            rare.timed.on_pong(payload);
        }
    }
}

impl State {
    /// Queues a ping with a payload of its own, and returns its number.
    fn begin_ping(&mut self) -> Result<u64, Error> {
        if !self.is_open() {
            return Err(Error::Closed);
        }
        let rare = self.rare();
        let payload = rare.timed.next_payload();
        let queued = rare.control.push(OpCode::Ping, &payload);
        queued.map_err(|_| Error::Control(ControlError::Full))?;
        Ok(rare.timed.begin())
    }

    fn take_ping(&mut self, number: u64) -> Option<Result<Duration, Error>> {
        if let Some(answer) = self.timed_mut().and_then(|timed| timed.take_answer(number)) {
            return Some(Ok(answer));
        }
        (!self.is_open()).then_some(Err(Error::Closed))
    }

    fn timed_mut(&mut self) -> Option<&mut PendingPings> {
        self.rare.as_deref_mut().map(|rare| &mut rare.timed)
    }

    /// Nothing more is sent, and no more pongs are expected. The answers that have come stay for their futures.
    pub(super) fn end_rare(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.timed.end();
            (rare.control, rare.close) = (ControlQueue::default(), None);
        }
        self.drop_idle_rare();
    }

    pub(super) fn drop_idle_rare(&mut self) {
        let is_idle = |rare: &mut Box<super::Rare>| !rare.has_something_to_send() && rare.timed.is_idle();
        self.rare.take_if(is_idle);
    }
}

impl PingOutlet for Mailbox {
    fn poll_ping(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<Result<Duration, Error>> {
        let number = match *number {
            Some(number) => number,
            None => {
                let mut state = self.lock();
                // Set before foreign code runs: a waker may panic, and the ping is forgotten by its number.
                let begun = *number.insert(state.begin_ping()?);
                self.unlock_and_wake(state);
                begun
            }
        };
        poll_with_clone(cx, |clone| {
            let mut state = self.lock();
            if let Some(result) = state.take_ping(number) {
                return Some(Poll::Ready(result));
            }
            let is_stored = state.timed_mut().is_none_or(|timed| timed.wait(number, cx.waker(), clone));
            is_stored.then_some(Poll::Pending)
        })
    }

    fn forget_ping(&self, number: u64) {
        let mut state = self.lock();
        if let Some(rare) = &mut state.rare {
            rare.timed.forget(number);
        }
        state.drop_idle_rare();
    }
}
