//! What other tasks send to a connection that a [`Handler`](crate::Handler) owns.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ws_proto::{
    CONTROL_QUEUE_CAPACITY, CloseCode, Config, Connection, ConnectionState, ControlError, ControlQueue,
    MAX_CONTROL_PAYLOAD, MemoryAccount, MemoryBudget, Message, PreparedMessage, SendError, TransmitQueue,
};
use ws_tokio::{Foreign, Locked, Outlet, run_unlocked};

use crate::summons::Caller;

pub(crate) struct Mailbox {
    config: Arc<Config>,
    caller: Caller,
    /// The connection has been called and has not looked yet.
    called: AtomicBool,
    mail: Mutex<Mail>,
}

/// Small, and in one piece: a broadcast touches as many of these as there are connections.
struct Mail {
    messages: Messages,
    /// Bytes of their payloads.
    bytes: usize,
    /// Bytes of those that nobody else has.
    owned: usize,
    /// What they count of the memory budget; made when there first is much.
    account: Option<MemoryAccount>,
    state: ConnectionState,
    rare: Option<Box<Rare>>,
}

/// Mostly there is one.
#[derive(Default)]
struct Messages {
    first: Option<Letter>,
    more: VecDeque<Letter>,
}

enum Letter {
    Message(Message),
    Prepared(PreparedMessage),
}

impl Letter {
    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Prepared(message) => message.payload().len(),
        }
    }

    fn owned_len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Prepared(_) => 0,
        }
    }

    fn send(self, connection: &mut Connection, tx: &mut TransmitQueue) -> Result<(), SendError<Self>> {
        match self {
            Self::Message(message) => {
                connection.send_message(message, false, tx).map_err(|error| error.map(Self::Message))
            }
            Self::Prepared(message) => match connection.send_prepared(&message, false, tx) {
                Ok(()) => {
                    Self::Prepared(message).give_up();
                    Ok(())
                }
                Err(error) => Err(error.map(|()| Self::Prepared(message))),
            },
        }
    }

    /// Drops it once the mailbox is not locked: its payload may have a destructor.
    fn give_up(self) {
        run_unlocked(match self {
            // Memory without an owner, as most are.
            Self::Prepared(message) if message.payload().is_unique() => return,
            Self::Message(message) => Foreign::Message(message),
            Self::Prepared(message) => Foreign::Prepared(message),
        });
    }
}

/// What most mailboxes never have.
#[derive(Default)]
struct Rare {
    pings: Vec<Bytes>,
    close: Option<(CloseCode, Box<str>)>,
    waiting: Vec<Waker>,
}

impl Mailbox {
    pub(crate) fn new(config: &Arc<Config>, caller: Caller) -> Self {
        let mail = Mail {
            messages: Messages::default(),
            bytes: 0,
            owned: 0,
            account: None,
            state: ConnectionState::Open,
            rare: None,
        };
        Self { config: Arc::clone(config), caller, called: AtomicBool::new(false), mail: Mutex::new(mail) }
    }

    /// Whether there is news since the last time.
    pub(crate) fn take_call(&self) -> bool {
        self.called.load(Ordering::Relaxed) && self.called.swap(false, Ordering::Acquire)
    }

    /// Hands over what came, as far as the connection takes it; whether messages are left that it has no room for.
    pub(crate) fn deliver(
        &self,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: std::time::Instant,
    ) -> bool {
        let mut mail = self.mail();
        let rare = mail.rare.take();
        if let Some(rare) = &rare {
            for payload in &rare.pings {
                // A full control queue drops a ping, as it would for the handler.
                let _ = connection.send_ping(payload, tx);
            }
        }
        // The rest waits here: else as much as may wait would wait in both places.
        let ahead = (self.config.write_queue_bytes / 16).clamp(4 * 1024, 64 * 1024);
        while connection.queued(tx).1 < ahead
            && let Some(letter) = mail.messages.pop()
        {
            // It is the connection's from here, or comes back.
            mail.count_out(&letter);
            match letter.send(connection, tx) {
                Ok(()) => {}
                Err(SendError::WriteBusy(letter)) => {
                    mail.count_in(&letter);
                    mail.settle();
                    mail.messages.put_back(letter);
                    break;
                }
                Err(SendError::InvalidState(letter)) => {
                    letter.give_up();
                    break;
                }
            }
        }
        if let Some(Rare { close, waiting, .. }) = rare.map(|rare| *rare) {
            if let Some((code, reason)) = close {
                if mail.messages.is_empty() {
                    connection.close_and_receive(code, &reason, now, tx);
                } else {
                    mail.rare().close = Some((code, reason));
                }
            }
            mail.follow(connection.state());
            wake(waiting);
            return !mail.messages.is_empty();
        }
        mail.follow(connection.state());
        !mail.messages.is_empty()
    }

    /// The connection is closing or closed: senders are told.
    pub(crate) fn shut(&self, state: ConnectionState) {
        let rare = {
            let mut mail = self.mail();
            mail.follow(state);
            mail.rare.take()
        };
        wake(rare.into_iter().flat_map(|rare| rare.waiting));
    }

    /// Whether a message of `len` bytes, of which `owned` are its own, may come in.
    fn admit(&self, mail: &Mail, len: usize, owned: usize) -> Result<(), SendError> {
        if mail.state != ConnectionState::Open || mail.is_closing() {
            return Err(SendError::InvalidState(()));
        }
        let over = mail.bytes > 0 && mail.bytes.saturating_add(len) > self.config.write_queue_bytes;
        let unaffordable = owned > 0 && mail.account.as_ref().is_some_and(|account| !account.allows(owned));
        if over || unaffordable || mail.messages.len() >= self.config.write_queue_messages.max(1) {
            return Err(SendError::WriteBusy(()));
        }
        Ok(())
    }

    fn push(&self, mail: &mut Mail, message: Message) -> Result<(), SendError<Message>> {
        match self.admit(mail, message.len(), message.len()) {
            Ok(()) => {
                mail.push(Letter::Message(message));
                mail.charge(&self.config);
            }
            Err(error) => return Err(error.map(|()| message)),
        }
        Ok(())
    }

    fn call(&self, mail: Locked<'_, Mail>) {
        drop(mail);
        if !self.called.swap(true, Ordering::Release) {
            self.caller.call();
        }
    }

    fn mail(&self) -> Locked<'_, Mail> {
        Locked::new(|| self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Wakes tasks once the mailbox is not locked.
fn wake(waiting: impl IntoIterator<Item = Waker>) {
    waiting.into_iter().for_each(|waker| run_unlocked(Foreign::Wake(waker)));
}

impl Mail {
    fn push(&mut self, letter: Letter) {
        self.count_in(&letter);
        self.messages.push(letter);
    }

    fn count_in(&mut self, letter: &Letter) {
        self.bytes += letter.len();
        self.owned += letter.owned_len();
    }

    fn count_out(&mut self, letter: &Letter) {
        self.bytes -= letter.len();
        self.owned -= letter.owned_len();
        self.settle();
    }

    /// Counts what has come in against the memory budget, if it is much.
    fn charge(&mut self, config: &Config) {
        const MUCH: usize = 16 * 1024;
        if self.account.is_none() && self.owned >= MUCH {
            self.account = config.memory_budget.as_ref().map(MemoryBudget::account);
        }
        self.settle();
    }

    fn settle(&mut self) {
        if let Some(account) = &mut self.account {
            account.set(self.owned);
            if self.owned == 0 {
                self.account = None;
            }
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Whether a close waits behind the messages.
    fn is_closing(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.close.is_some())
    }

    /// Takes note of the connection's state; only an open one has a use for messages.
    fn follow(&mut self, state: ConnectionState) {
        self.state = state;
        if state != ConnectionState::Open {
            while let Some(letter) = self.messages.pop() {
                letter.give_up();
            }
            self.messages = Messages::default();
            (self.bytes, self.owned) = (0, 0);
            self.account = None;
        }
    }
}

impl Messages {
    fn push(&mut self, letter: Letter) {
        if self.is_empty() {
            self.first = Some(letter);
        } else {
            self.more.push_back(letter);
        }
    }

    fn pop(&mut self) -> Option<Letter> {
        self.first.take().or_else(|| self.more.pop_front())
    }

    /// What was popped last, again at the front.
    fn put_back(&mut self, letter: Letter) {
        self.first = Some(letter);
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }
}

impl Outlet for Mailbox {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut mail = self.mail();
        self.push(&mut mail, message)?;
        self.call(mail);
        Ok(())
    }

    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut mail = self.mail();
        self.admit(&mail, message.payload().len(), 0)?;
        mail.push(Letter::Prepared(message.clone()));
        self.call(mail);
        Ok(())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), SendError<Message>>> {
        let mut waker = None;
        loop {
            let mut mail = self.mail();
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            match self.push(&mut mail, next) {
                Ok(()) => {
                    self.call(mail);
                    return Poll::Ready(Ok(()));
                }
                Err(SendError::WriteBusy(back)) => *message = Some(back),
                Err(error) => return Poll::Ready(Err(error)),
            }
            let waiting = &mut mail.rare().waiting;
            if waiting.iter().any(|known| known.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if let Some(waker) = waker.take() {
                waiting.push(waker);
                return Poll::Pending;
            }
            // Cloning it may run its executor's code: not under the lock.
            drop(mail);
            waker = Some(cx.waker().clone());
        }
    }

    fn cancelled(&self) {
        // Those who still wait register again.
        let waiting = self.mail().rare.as_mut().map(|rare| std::mem::take(&mut rare.waiting));
        wake(waiting.into_iter().flatten());
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut mail = self.mail();
        if mail.state != ConnectionState::Open {
            return Err(ControlError::InvalidState);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlError::ControlFrameTooBig(payload.len()));
        }
        let pings = &mut mail.rare().pings;
        let waiting: usize = pings.iter().map(|ping| ControlQueue::entry_len(ping.len())).sum();
        if waiting + ControlQueue::entry_len(payload.len()) > CONTROL_QUEUE_CAPACITY {
            return Err(ControlError::QueueFull);
        }
        pings.push(Bytes::copy_from_slice(payload));
        self.call(mail);
        Ok(())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let mut mail = self.mail();
        if mail.state == ConnectionState::Open && !mail.is_closing() {
            mail.rare().close = Some((code, reason.into()));
            self.call(mail);
        }
    }

    fn state(&self) -> ConnectionState {
        self.mail().state
    }
}
