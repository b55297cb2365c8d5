//! A connection's task on a tokio runtime.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use ws_tokio::internal::guarded;

use crate::handshake::established::DropGuarded;

/// A task whose panics do not reach the runtime. tokio catches a panic of a task. It does not catch a panic of the
/// destructor of the panic's payload, which would end the runtime's thread.
pub(crate) struct Contained<T>(DropGuarded<T>);

impl<T> Contained<T> {
    pub(crate) const fn new(task: T) -> Self {
        Self(DropGuarded(Some(task)))
    }
}

impl<T: Future<Output = ()> + Unpin> Future for Contained<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let permit = &mut self.0.0;
        let Some(task) = permit else { return Poll::Ready(()) };
        let polled = guarded(|| Pin::new(task).poll(cx)).unwrap_or(Poll::Ready(()));
        if polled.is_ready() {
            drop(DropGuarded(permit.take()));
        }
        polled
    }
}
