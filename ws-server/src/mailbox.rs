//! What other tasks send to a connection that a [`Handler`](crate::Handler) owns.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ws_proto::{
    CloseCode, Config, Connection, ConnectionState, ControlError, Message, SendError, TransmitQueue,
};
use ws_tokio::Outlet;

use ws_proto::{CONTROL_QUEUE_CAPACITY, ControlQueue, MAX_CONTROL_PAYLOAD};

pub(crate) struct Mailbox {
    config: Arc<Config>,
    task: Waker,
    mail: Mutex<Mail>,
}

struct Mail {
    messages: VecDeque<Message>,
    bytes: usize,
    pings: Vec<Bytes>,
    close: Option<(CloseCode, Box<str>)>,
    state: ConnectionState,
    /// The connection's task has been woken and has not looked yet.
    woken: bool,
    waiting: Vec<Waker>,
}

impl Mailbox {
    pub(crate) fn new(config: &Arc<Config>, task: Waker) -> Self {
        let mail = Mail {
            messages: VecDeque::new(),
            bytes: 0,
            pings: Vec::new(),
            close: None,
            state: ConnectionState::Open,
            woken: false,
            waiting: Vec::new(),
        };
        Self { config: Arc::clone(config), task, mail: Mutex::new(mail) }
    }

    /// Hands over what came, as far as the connection takes it.
    pub(crate) fn deliver(
        &self,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: std::time::Instant,
    ) {
        let mut mail = self.mail();
        mail.woken = false;
        for payload in std::mem::take(&mut mail.pings) {
            // A full control queue drops a ping, as it would for the handler.
            let _ = connection.send_ping(&payload, tx);
        }
        while let Some(message) = mail.messages.pop_front() {
            let len = message.len();
            match connection.send_message(message, false, tx) {
                Ok(()) => mail.bytes -= len,
                Err(SendError::WriteBusy(message)) => {
                    mail.messages.push_front(message);
                    break;
                }
                Err(SendError::InvalidState(_)) => break,
            }
        }
        if mail.messages.is_empty()
            && let Some((code, reason)) = mail.close.take()
        {
            connection.close(code, &reason, now, tx);
        }
        mail.follow(connection.state());
        let waiting = std::mem::take(&mut mail.waiting);
        drop(mail);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The connection is closing or closed: senders are told.
    pub(crate) fn shut(&self, state: ConnectionState) {
        let waiting = {
            let mut mail = self.mail();
            mail.follow(state);
            std::mem::take(&mut mail.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether messages wait that the connection had no room for.
    pub(crate) fn has_messages(&self) -> bool {
        !self.mail().messages.is_empty()
    }

    fn push(&self, mail: &mut Mail, message: Message) -> Result<(), SendError<Message>> {
        if mail.state != ConnectionState::Open || mail.close.is_some() {
            return Err(SendError::InvalidState(message));
        }
        let over = mail.bytes > 0 && mail.bytes.saturating_add(message.len()) > self.config.write_queue_bytes;
        if over || mail.messages.len() >= self.config.write_queue_messages {
            return Err(SendError::WriteBusy(message));
        }
        mail.bytes += message.len();
        mail.messages.push_back(message);
        Ok(())
    }

    fn wake(&self, mut mail: MutexGuard<'_, Mail>) {
        let wake = !std::mem::replace(&mut mail.woken, true);
        drop(mail);
        if wake {
            self.task.wake_by_ref();
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    /// Takes note of the connection's state; only an open one has a use for messages.
    fn follow(&mut self, state: ConnectionState) {
        self.state = state;
        if state != ConnectionState::Open {
            self.messages = VecDeque::new();
            self.bytes = 0;
        }
    }
}

impl Outlet for Mailbox {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut mail = self.mail();
        self.push(&mut mail, message)?;
        self.wake(mail);
        Ok(())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), SendError<Message>>> {
        let mut mail = self.mail();
        let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
        match self.push(&mut mail, next) {
            Ok(()) => {
                self.wake(mail);
                Poll::Ready(Ok(()))
            }
            Err(SendError::WriteBusy(back)) => {
                *message = Some(back);
                if !mail.waiting.iter().any(|known| known.will_wake(cx.waker())) {
                    mail.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn cancelled(&self) {
        // Those who still wait register again.
        let waiting = std::mem::take(&mut self.mail().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut mail = self.mail();
        if mail.state != ConnectionState::Open {
            return Err(ControlError::InvalidState);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlError::ControlFrameTooBig(payload.len()));
        }
        let waiting: usize = mail.pings.iter().map(|ping| ControlQueue::entry_len(ping.len())).sum();
        if waiting + ControlQueue::entry_len(payload.len()) > CONTROL_QUEUE_CAPACITY {
            return Err(ControlError::QueueFull);
        }
        mail.pings.push(Bytes::copy_from_slice(payload));
        self.wake(mail);
        Ok(())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let mut mail = self.mail();
        if mail.state == ConnectionState::Open && mail.close.is_none() {
            mail.close = Some((code, reason.into()));
            self.wake(mail);
        }
    }

    fn state(&self) -> ConnectionState {
        self.mail().state
    }
}
