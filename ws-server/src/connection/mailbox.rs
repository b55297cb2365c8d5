//! What other tasks send to a connection that a [`Handler`](crate::Handler) owns.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use ws_proto::{
    Backlog, CloseCode, Config, Connection, ConnectionState, ControlError, ControlQueue, MAX_CONTROL_PAYLOAD,
    MemoryAccount, MemoryBudget, Message, OpCode, PreparedMessage, SendError, TransmitQueue,
};
use ws_tokio::internal::{Entry, Locked, Outlet, Place, WaitList};

use crate::shard::wake::ConnWaker;

use super::letters::{Letters, Queued};

pub(crate) struct Mailbox {
    config: Arc<Config>,
    caller: ConnWaker,
    /// The connection has been called and has not looked yet.
    called: AtomicBool,
    mail: Mutex<MailboxState>,
}

/// Small, and in one piece: a broadcast touches as many of these as there are connections.
struct MailboxState {
    messages: Letters,
    /// What they count together, by the rules of the connection's own queue.
    backlog: Backlog,
    /// What they count of the memory budget; made when there first is much.
    account: Option<MemoryAccount>,
    state: ConnectionState,
    /// Senders that wait for room.
    senders: WaitList,
    uncommon: Option<Box<Uncommon>>,
}

/// What most mailboxes never have.
#[derive(Default)]
struct Uncommon {
    pings: ControlQueue,
    close: Option<(CloseCode, Box<str>)>,
}

impl Mailbox {
    pub(crate) fn new(config: &Arc<Config>, caller: ConnWaker) -> Self {
        let mail = MailboxState {
            messages: Letters::default(),
            backlog: Backlog::new(),
            account: None,
            state: ConnectionState::Open,
            senders: WaitList::new(),
            uncommon: None,
        };
        Self { config: Arc::clone(config), caller, called: AtomicBool::new(false), mail: Mutex::new(mail) }
    }

    /// Whether there is news since the last time.
    pub(crate) fn take_call(&self) -> bool {
        self.called.load(Ordering::Relaxed) && self.called.swap(false, Ordering::Acquire)
    }

    /// Hands over what came, as far as the connection takes it; whether something is left that it has no room for.
    pub(crate) fn deliver(
        &self,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: std::time::Instant,
    ) -> bool {
        let mut mail = self.mail();
        if let Some(uncommon) = &mut mail.uncommon {
            uncommon.deliver_pings(connection, tx);
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
        if let Some(uncommon) = mail.uncommon.take_if(|uncommon| uncommon.pings.is_empty()) {
            match uncommon.close {
                Some((code, reason)) if mail.messages.is_empty() => {
                    connection.close_and_receive(code, &reason, now, tx);
                }
                Some(_) => mail.uncommon = Some(uncommon),
                None => {}
            }
        }
        mail.follow(connection.state());
        self.let_senders_in(&mut mail);
        !mail.messages.is_empty() || mail.uncommon.is_some()
    }

    /// Promises the room that there is to senders that wait.
    fn let_senders_in(&self, mail: &mut MailboxState) {
        let MailboxState { senders, backlog, account, .. } = mail;
        senders.promise(|len, promised| self.has_room(len, len, backlog, promised, account.as_ref()));
    }

    /// The connection is closing or closed: senders are told.
    pub(crate) fn shut(&self, state: ConnectionState) {
        self.mail().follow(state);
    }

    /// Whether a message of `len` bytes, of which `owned` are its own, may come in.
    fn admit(&self, mail: &MailboxState, len: usize, owned: usize) -> Result<(), SendError> {
        if mail.state != ConnectionState::Open || mail.is_closing() {
            return Err(SendError::InvalidState(()));
        }
        let MailboxState { senders, backlog, account, .. } = mail;
        if self.has_room(len, owned, backlog, &senders.promised(), account.as_ref()) {
            Ok(())
        } else {
            Err(SendError::WriteBusy(()))
        }
    }

    /// As [`admit`](Self::admit), for a sender that does not wait: those that do come first.
    fn admit_newcomer(&self, mail: &MailboxState, len: usize, owned: usize) -> Result<(), SendError> {
        self.admit(mail, len, owned)?;
        if mail.senders.has_waiting() { Err(SendError::WriteBusy(())) } else { Ok(()) }
    }

    /// The rule of the connection's own queue. Room that is promised is taken.
    fn has_room(
        &self,
        len: usize,
        owned: usize,
        backlog: &Backlog,
        promised: &Backlog,
        account: Option<&MemoryAccount>,
    ) -> bool {
        let (messages, bytes) =
            (backlog.messages() + promised.messages(), backlog.bytes() + promised.bytes());
        let affordable = owned == 0 || account.is_none_or(|account| account.allows(owned));
        affordable && self.config.has_room_for(len, messages, bytes)
    }

    fn push(&self, mail: &mut MailboxState, letter: Queued) {
        mail.count_in(&letter);
        mail.messages.push(letter);
        mail.charge(&self.config);
    }

    fn call(&self, mail: Locked<'_, MailboxState>) {
        drop(mail);
        if !self.called.swap(true, Ordering::Release) {
            self.caller.wake();
        }
    }

    fn mail(&self) -> Locked<'_, MailboxState> {
        Locked::new(|| self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MailboxState {
    fn count_in(&mut self, letter: &Queued) {
        self.backlog.add(letter.len(), letter.shared_len());
    }

    fn count_out(&mut self, letter: &Queued) {
        self.backlog.remove(letter.len(), letter.shared_len());
        self.settle();
    }

    /// Counts what has come in against the memory budget, if it is much.
    fn charge(&mut self, config: &Config) {
        const MUCH: usize = 16 * 1024;
        if self.account.is_none() && self.backlog.held_bytes() >= MUCH {
            self.account = config.memory_budget.as_ref().map(MemoryBudget::account);
        }
        self.settle();
    }

    fn settle(&mut self) {
        if let Some(account) = &mut self.account {
            account.set(self.backlog.held_bytes());
            if self.backlog.held_bytes() == 0 {
                self.account = None;
            }
        }
    }

    fn uncommon(&mut self) -> &mut Uncommon {
        self.uncommon.get_or_insert_default()
    }

    /// Whether a close waits behind the messages.
    fn is_closing(&self) -> bool {
        self.uncommon.as_ref().is_some_and(|uncommon| uncommon.close.is_some())
    }

    /// Takes note of the connection's state; only an open one has a use for messages.
    fn follow(&mut self, state: ConnectionState) {
        self.state = state;
        if state != ConnectionState::Open {
            self.messages.give_up();
            self.backlog = Backlog::new();
            self.account = None;
            self.uncommon = None;
            self.senders.end();
        }
    }
}

impl Uncommon {
    /// Those that the connection has no room for go out later.
    fn deliver_pings(&mut self, connection: &mut Connection, tx: &mut TransmitQueue) {
        while let Some(ping) = self.pings.peek() {
            if connection.send_ping(ping.payload(), tx) == Err(ControlError::QueueFull) {
                return;
            }
            self.pings.pop();
        }
    }
}

impl Outlet for Mailbox {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut mail = self.mail();
        match self.admit_newcomer(&mail, message.len(), message.len()) {
            Ok(()) => {
                self.push(&mut mail, Queued::Message(message));
                self.call(mail);
                Ok(())
            }
            Err(error) => Err(error.map(|()| message)),
        }
    }

    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut mail = self.mail();
        self.admit_newcomer(&mail, message.payload().len(), 0)?;
        self.push(&mut mail, Queued::Prepared(message.clone()));
        self.call(mail);
        Ok(())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
    ) -> Poll<Result<(), SendError<Message>>> {
        let mut waker = None;
        loop {
            let mut mail = self.mail();
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            let (len, entry) = (next.len(), mail.senders.enter(place));
            let admitted = match entry {
                Entry::Newcomer | Entry::Promised => self.admit(&mail, len, len),
                Entry::Waits => Err(SendError::WriteBusy(())),
            };
            match admitted {
                Ok(()) => {
                    self.push(&mut mail, Queued::Message(next));
                    self.call(mail);
                    return Poll::Ready(Ok(()));
                }
                Err(SendError::WriteBusy(())) => *message = Some(next),
                Err(error) => return Poll::Ready(Err(error.map(|()| next))),
            }
            if mail.senders.wait(place, entry == Entry::Promised, len, cx.waker(), &mut waker) {
                return Poll::Pending;
            }
            // Cloning it may run its executor's code: not under the lock.
            drop(mail);
            waker = Some(cx.waker().clone());
        }
    }

    fn cancelled(&self, place: Option<Place>) {
        let Some(place) = place else { return };
        let mut mail = self.mail();
        mail.senders.leave(place);
        self.let_senders_in(&mut mail);
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut mail = self.mail();
        if mail.state != ConnectionState::Open {
            return Err(ControlError::InvalidState);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlError::ControlFrameTooBig(payload.len()));
        }
        let pings = &mut mail.uncommon().pings;
        pings.push(OpCode::Ping, payload).map_err(|_| ControlError::QueueFull)?;
        self.call(mail);
        Ok(())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let mut mail = self.mail();
        if mail.state == ConnectionState::Open && !mail.is_closing() {
            mail.uncommon().close = Some((code, reason.into()));
            // What has not been accepted before is not accepted any more.
            mail.senders.end();
            self.call(mail);
        }
    }

    fn state(&self) -> ConnectionState {
        self.mail().state
    }
}
