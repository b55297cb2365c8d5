//! A task of its own that sends one message, and waits as long as that takes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use ws_proto::Message;

use super::{
    ledger::Fate,
    side::{Side, Woken},
};

pub(super) struct Elsewhere {
    sending: Pin<Box<dyn Future<Output = bool>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

impl Side {
    /// Begins to send, unless the last message of that task still waits.
    pub(super) fn send_elsewhere(&mut self, message: Message) {
        if self.elsewhere.is_some() {
            return;
        }
        self.sent[2].add(message.clone(), Fate::Maybe);
        let sender = self.sender.clone();
        let sending = Box::pin(async move { sender.send(message).await.is_ok() });
        let (woken, waker) = Woken::new();
        woken.set();
        self.elsewhere = Some(Elsewhere { sending, woken, waker });
        self.poll_elsewhere();
    }

    /// Polls it if it was woken; whether it was.
    pub(super) fn poll_elsewhere(&mut self) -> bool {
        let Some(elsewhere) = self.elsewhere.as_mut().filter(|elsewhere| elsewhere.woken.take()) else {
            return false;
        };
        let polled = elsewhere.sending.as_mut().poll(&mut Context::from_waker(&elsewhere.waker));
        if let std::task::Poll::Ready(accepted) = polled {
            self.sent[2].decide(if accepted { Fate::Sure } else { Fate::Refused });
            self.elsewhere = None;
        }
        true
    }
}
