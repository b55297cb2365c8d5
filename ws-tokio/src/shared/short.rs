//! The short way of `recv` in a turn of a server's task, for the usual case: the connection is settled, and a read brings
//! a small message or nothing.
//!
//! It has the same effects as the steps of [`receive`](super::receive) and [`transfer`](super::transfer), and leaves out
//! those that can have none. Where something unusual shows, it goes on with them.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Connection, Event as Parsed};

use super::{
    received::Received,
    state::{Input, Mode, SharedState, Turn},
    transfer::READS_PER_TURN,
    turn,
};
use crate::{
    thread_buffers::ReceiveLease,
    turn_work::{count_work, is_check_due},
};

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Receives, if this is a turn of the server's task and nothing is in progress or waits. `None`: nothing was done.
    #[inline]
    pub(crate) fn poll_shortly<R: Received>(&mut self, cx: &mut Context<'_>) -> Option<Poll<Option<R>>> {
        let Mode::ServerTask { turn: Turn::Application, receiving, reads, .. } = &mut self.mode else {
            return None;
        };
        let driver = self.driver.as_mut().filter(|driver| driver.reads_plainly())?;
        let waker = self.waiting.only_server_task().filter(|waker| waker.will_wake(cx.waker()))?;
        if self.rare.is_some() || self.waker_added || *reads >= READS_PER_TURN || is_check_due() {
            return None;
        }
        (self.waker_missing, self.has_received) = (false, true);
        driver.connection_mut().resume_plain();
        if self.input == Input::None {
            *receiving = true;
            self.end_turn_shortly(cx);
            return Some(Poll::Pending);
        }
        *reads += 1;
        let mut rx = ReceiveLease::take();
        let read = driver.read_plain(&mut Context::from_waker(waker), self.now, &mut rx);
        *receiving = read.is_pending();
        if read.is_pending() {
            self.end_turn_shortly(cx);
            return Some(Poll::Pending);
        }
        if self.input == Input::Some && !rx.is_full() {
            self.input = Input::None;
        }
        if R::TAKES_RUNS && rx.is_mostly_filled() {
            return Some(self.poll_parsed(cx, rx));
        }
        let (connection, tx) = driver.parts_mut();
        let Some(message) = connection.poll_message(&mut rx, tx) else {
            return Some(self.poll_parsed(cx, rx));
        };
        let received = R::from_parsed(Parsed::Message(message));
        count_work(1);
        if rx.is_empty() {
            connection.hold();
        } else {
            self.hold_received(&mut rx, Connection::hold);
        }
        Some(Poll::Ready(received))
    }

    /// Ends the turn, as [`end_turn_early`](Self::end_turn_early) does.
    #[inline]
    fn end_turn_shortly(&mut self, cx: &mut Context<'_>) {
        if self.has_refused || !turn::is_entered(self, cx.waker()) || !self.write_shortly(cx) {
            return self.end_turn_early(cx);
        }
        self.end_turn();
        if self.driver().is_some_and(|driver| driver.is_quiet()) {
            turn::set_done();
        }
    }

    /// Writes what was sent in this turn. `false`: something is left.
    #[inline]
    fn write_shortly(&mut self, cx: &Context<'_>) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        driver.write_plain(&mut Context::from_waker(cx.waker()), self.now)
    }
}
