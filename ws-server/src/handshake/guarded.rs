//! Panics of the application's code that end at a handshake or at the task of a connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use ws_tokio::internal::{Panicked, guarded};

use crate::{log_limit::log_limited, shard::server_state::ServerState};

/// Does a part of a handshake. A panic in it ends here, because destructors of the application's values may panic.
pub(crate) fn guard_handshake(server: &ServerState, part: impl FnOnce()) {
    if guarded(part).is_err() {
        // A `tracing` subscriber may panic too.
        let _ = guarded(|| log_limited!(server.log_limits, Panic, error, "a handshake panicked"));
    }
}

/// A future of the application's whose panics end here: those of its polls and those of its destructor. It is dropped
/// as soon as it is done.
///
/// tokio catches a panic of a task, but not a panic of the destructor of the panic's payload, which would end the
/// runtime's thread.
pub(crate) struct GuardedFuture<F>(Option<F>);

impl<F> GuardedFuture<F> {
    pub(crate) const fn new(future: F) -> Self {
        Self(Some(future))
    }

    fn drop_future(&mut self) {
        if let Some(future) = self.0.take() {
            let _ = guarded(|| drop(future));
        }
    }
}

impl<F: Future + Unpin> Future for GuardedFuture<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let output = match guarded(|| Pin::new(future).poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panicked) => Err(panicked),
        };
        self.drop_future();
        Poll::Ready(output)
    }
}

impl<F> Drop for GuardedFuture<F> {
    fn drop(&mut self) {
        self.drop_future();
    }
}
