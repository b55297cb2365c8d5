use std::{
    future::poll_fn,
    sync::MutexGuard,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::Message;

use super::WebSocket;
use crate::shared::{Shared, SharedState, lock_briefly, poll_locked};

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Receives the next text or binary message. Returns `None` once the connection is over;
    /// [`close_info`](Self::close_info) says how it ended. The library handles control frames.
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
        self.put_back_lent();
        let mut state = lock_briefly(&self.shared);
        let held = state.take_held();
        if held.is_some() { Poll::Ready(held) } else { poll_next(&self.shared, state, cx) }
    }
}

#[inline(never)]
fn poll_next<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared<S>,
    state: MutexGuard<'_, SharedState<S>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Message>> {
    poll_locked(shared, state, cx, SharedState::poll_recv)
}
