//! Pings that other tasks time. Their pongs come from the connection's turn.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use ws_proto::{
    error::ControlError,
    frame::{ControlQueue, OpCode},
};
use ws_tokio::{Error, internal::PingOutlet};

use super::{Mailbox, State};

/// Attempts within one poll: the second one has a clone of the waker.
const ATTEMPTS: usize = 2;

impl Mailbox {
    /// The connection received a pong.
    pub(in crate::connection) fn on_pong(&self, payload: &[u8]) {
        if let Some(uncommon) = &mut self.lock().uncommon {
            uncommon.timed.on_pong(payload);
        }
    }
}

impl State {
    /// Queues a ping with a payload of its own, and returns its number.
    fn begin_ping(&mut self) -> Result<u64, Error> {
        if !self.is_open() {
            return Err(Error::Closed);
        }
        let uncommon = self.uncommon();
        let payload = uncommon.timed.next_payload();
        let queued = uncommon.control.push(OpCode::Ping, &payload);
        queued.map_err(|_| Error::Control(ControlError::Full))?;
        Ok(uncommon.timed.begin())
    }

    fn take_ping(&mut self, number: u64) -> Option<Result<Duration, Error>> {
        let timed = self.uncommon.as_deref_mut().map(|uncommon| &mut uncommon.timed);
        if let Some(answer) = timed.and_then(|timed| timed.take_answer(number)) {
            return Some(Ok(answer));
        }
        (!self.is_open()).then_some(Err(Error::Closed))
    }

    /// Nothing more is sent, and no more pongs are expected. The answers that have come stay for their futures.
    pub(super) fn end_uncommon(&mut self) {
        if let Some(uncommon) = &mut self.uncommon {
            uncommon.timed.end();
            (uncommon.control, uncommon.close) = (ControlQueue::default(), None);
        }
        self.drop_idle_uncommon();
    }

    pub(super) fn drop_idle_uncommon(&mut self) {
        let is_idle = |uncommon: &mut Box<super::Uncommon>| {
            !uncommon.has_something_to_send() && uncommon.timed.is_idle()
        };
        self.uncommon.take_if(is_idle);
    }
}

impl PingOutlet for Mailbox {
    fn poll_ping(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<Result<Duration, Error>> {
        let mut clone = None;
        for _ in 0..ATTEMPTS {
            let mut state = self.lock();
            let begins = number.is_none();
            let number = match *number {
                Some(number) => number,
                None => *number.insert(state.begin_ping()?),
            };
            if let Some(result) = state.take_ping(number) {
                return Poll::Ready(result);
            }
            let timed = state.uncommon.as_deref_mut().map(|uncommon| &mut uncommon.timed);
            let is_stored = timed.is_none_or(|timed| timed.wait(number, cx.waker(), &mut clone));
            if begins {
                self.unlock_and_wake(state);
            } else {
                drop(state);
            }
            if is_stored {
                break;
            }
            // A clone may run code of the executor, so it is made without the lock.
            clone = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn forget_ping(&self, number: u64) {
        let mut state = self.lock();
        if let Some(uncommon) = &mut state.uncommon {
            uncommon.timed.forget(number);
        }
        state.drop_idle_uncommon();
    }
}
