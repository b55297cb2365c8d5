//! A separate task that sends one message and waits until it is accepted.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use ws_proto::Message;
use ws_tokio::Sender;

use super::woken::Woken;

pub(super) struct OtherTask {
    sending: Pin<Box<dyn Future<Output = bool>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

impl OtherTask {
    pub(super) fn new(sender: Sender, message: Message) -> Self {
        let sending = Box::pin(async move { sender.send(message).await.is_ok() });
        let (woken, waker) = Woken::new();
        woken.set();
        Self { sending, woken, waker }
    }

    /// Whether it was woken since the last call.
    pub(super) fn take_wake(&self) -> bool {
        self.woken.take()
    }

    /// Polls the send. Ready with whether the message was accepted.
    pub(super) fn poll(&mut self) -> Poll<bool> {
        self.sending.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}
