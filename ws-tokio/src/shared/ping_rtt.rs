//! Times a ping.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{state::SharedState, transfer::ensure_paused};
use crate::{error::Error, pings::PendingPings};

impl<S> SharedState<S> {
    /// Queues a ping with a payload of its own, and returns its number.
    pub(crate) fn begin_ping(&mut self) -> Result<u64, Error> {
        if !self.is_open() {
            return Err(self.end_error());
        }
        let payload = self.rare().pings.get_or_insert_default().next_payload();
        self.queue_ping(&payload)?;
        Ok(self.rare().pings.get_or_insert_default().begin())
    }

    /// Returns the round-trip time of an answered ping, or the error of a connection that is no longer open. `None`:
    /// the pong may still arrive.
    pub(crate) fn take_ping(&mut self, number: u64) -> Option<Result<Duration, Error>> {
        if let Some(answer) = self.pings_mut().and_then(|pings| pings.take_answer(number)) {
            return Some(Ok(answer));
        }
        (!self.is_open()).then(|| Err(self.end_error()))
    }

    /// Stores the waker of the task that waits for the pong, as [`PendingPings::wait`] does.
    pub(crate) fn wait_for_pong(&mut self, number: u64, waker: &Waker, clone: &mut Option<Waker>) -> bool {
        self.pings_mut().is_none_or(|pings| pings.wait(number, waker, clone))
    }

    pub(crate) fn forget_ping(&mut self, number: u64) {
        if let Some(pings) = self.pings_mut() {
            pings.forget(number);
        }
    }

    /// Wakes the tasks that wait for pongs: none will come.
    pub(super) fn end_pings(&mut self) {
        if let Some(pings) = self.pings_mut() {
            pings.end();
        }
    }

    /// `None` if no ping was ever timed.
    fn pings_mut(&mut self) -> Option<&mut PendingPings> {
        self.rare.as_mut()?.pings.as_mut()
    }

    /// Why nothing can be sent or answered any more.
    fn end_error(&self) -> Error {
        self.end_so_far().and_then(|info| info.error).map_or(Error::Closed, Error::Connection)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Moves bytes until the ping is answered. Messages are held.
    pub(crate) fn poll_pong(&mut self, cx: &mut Context<'_>, number: u64) -> Poll<Result<Duration, Error>> {
        if let Some(result) = self.take_ping(number) {
            return Poll::Ready(result);
        }
        self.poll_background(cx, ensure_paused);
        if let Some(result) = self.take_ping(number).or_else(|| self.read_obstacle().map(Err)) {
            return Poll::Ready(result);
        }
        self.set_receiving(true);
        Poll::Pending
    }

    /// Why nothing is read until the application receives.
    fn read_obstacle(&self) -> Option<Error> {
        let connection = self.driver.as_ref()?.connection();
        if connection.wants_read() || connection.wants_turn() {
            return None;
        }
        let limit = connection.config().limits.max_held_bytes.max(1);
        // Otherwise the end is held behind messages, or until the application could answer the latest one.
        Some(if connection.held_bytes() >= limit { Error::HeldFull } else { Error::Closed })
    }
}
