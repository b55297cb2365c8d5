//! Receives owned messages.

use std::{
    future::poll_fn,
    sync::MutexGuard,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::Message;

use super::{
    Rare, WebSocket,
    lend::{keep_for_recv, put_back_lent},
};
use crate::{
    foreign::LockMark,
    shared::{Shared, SharedState, StateGuard, lock_briefly, poll_locked},
};

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Receives the next text or binary message. Returns `None` once the connection is over;
    /// [`close_info`](Self::close_info) says how it ended. The library handles control frames.
    ///
    /// Messages that arrive together are taken from the connection together, up to 64 at a time. Those that are not
    /// returned yet count towards `max_held_bytes`. The payload of a message of about 16 KiB to 64 KiB may share the
    /// memory of a read, which has at most eight times its size: copy what is kept for long.
    ///
    /// Under a server's `serve`, a connection that has received messages for about a millisecond waits here once, so
    /// that other connections run. In any other task, `recv` counts against tokio's cooperative budget.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. The next call continues where this one stopped.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next message, as [`recv`](Self::recv) does.
    // Inlined, so that the message is not copied on its way: copying what was just written stalls the processor.
    #[inline(always)]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if let Some(message) = self.take_lent() {
            return Poll::Ready(Some(message));
        }
        let Self { shared, rare } = self;
        let mut state = lock_briefly(shared);
        if rare.is_some() {
            put_back_lent(&mut state, rare);
        }
        if let Some(message) = state.take_held() {
            take_run(&mut state, rare);
            return Poll::Ready(Some(message));
        }
        poll_next(shared, state, rare, cx)
    }
}

/// Takes the messages behind the one that was taken, if there are several. The next calls make owned messages of them
/// without the lock.
#[inline(never)]
fn take_run<S>(state: &mut SharedState<S>, rare: &mut Option<Box<Rare>>) {
    if let Some(run) = state.driver_mut().and_then(|driver| driver.connection_mut().take_rest_run()) {
        keep_for_recv(run.into(), rare);
    }
}

#[inline(never)]
fn poll_next<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared<S>,
    state: MutexGuard<'_, SharedState<S>>,
    rare: &mut Option<Box<Rare>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Message>> {
    let _lock_mark = LockMark::new();
    // Dropped before the mark, also if the transport panics: foreign code runs after the lock is released.
    let mut state = state;
    let mut rest = None;
    if let Some(received) = state.poll_recv_fast(cx, &mut rest) {
        StateGuard::release(state);
        if let Some(run) = rest {
            keep_for_recv(run, rare);
        }
        return received;
    }
    poll_locked(shared, state, cx, SharedState::poll_recv)
}
