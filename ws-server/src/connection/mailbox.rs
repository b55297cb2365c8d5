//! The queue of what other tasks send on a connection that a [`Handler`](crate::Handler) owns.
//!
//! The connection belongs to its task and has no lock. A [`Sender`](ws_tokio::Sender) puts messages into the mailbox
//! and wakes the connection; the connection's next turn moves them to its write queue. The mailbox admits and counts
//! messages by the rules of the write queue: [`ValidConfig::has_room_for`] and [`Backlog`].

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use ws_proto::{
    CloseCode, Connection, ConnectionState, Message, PreparedMessage, TransmitQueue, ValidConfig,
    error::{ControlError, SendError},
    frame::{ControlQueue, MAX_CONTROL_PAYLOAD, OpCode},
    memory::{Backlog, MemoryAccount, MemoryBudget},
};
use ws_tokio::internal::{Entry, Locked, Outlet, PendingPings, Place, WaitList};

use crate::shard::wake::ConnWaker;

use super::queued::{MessageQueue, Queued};

mod ping_rtt;

pub(crate) struct Mailbox {
    config: ValidConfig,
    waker: ConnWaker,
    /// Whether the connection was woken and has not looked into the mailbox since.
    woken: AtomicBool,
    state: Mutex<State>,
}

/// Small and in one piece, because a broadcast touches the mailbox of each receiver.
struct State {
    messages: MessageQueue,
    backlog: Backlog,
    /// The part of the memory budget that `messages` use; `None` while they hold little.
    account: Option<MemoryAccount>,
    connection: ConnectionState,
    /// Senders that wait for room.
    senders: WaitList,
    uncommon: Option<Box<Uncommon>>,
}

/// What most mailboxes never have.
#[derive(Default)]
struct Uncommon {
    pings: ControlQueue,
    /// A close that waits behind the messages.
    close: Option<(CloseCode, Box<str>)>,
    /// The pings that are timed.
    timed: PendingPings,
}

impl Uncommon {
    const fn has_something_to_send(&self) -> bool {
        !self.pings.is_empty() || self.close.is_some()
    }
}

impl Mailbox {
    pub(super) fn new(config: &ValidConfig, waker: ConnWaker) -> Self {
        let state = State {
            messages: MessageQueue::default(),
            backlog: Backlog::new(),
            account: None,
            connection: ConnectionState::Open,
            senders: WaitList::new(),
            uncommon: None,
        };
        Self { config: config.clone(), waker, woken: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Whether something was put in since the last call.
    #[inline]
    pub(super) fn take_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Acquire)
    }

    /// Moves pings, messages and a close to the connection, as far as it has room for them. Returns whether some are
    /// left.
    pub(super) fn transfer(&self, connection: &mut Connection, tx: &mut TransmitQueue, now: Instant) -> bool {
        let mut state = self.lock();
        state.transfer_pings(connection, tx);
        state.transfer_messages(self.transfer_until(), connection, tx);
        state.transfer_close(connection, tx, now);
        state.set_connection(connection.state());
        self.promise_room(&mut state);
        state.has_something_to_send()
    }

    /// The connection is closing or closed: what waits is dropped, and senders get an error.
    pub(super) fn end(&self, connection: ConnectionState) {
        self.lock().set_connection(connection);
    }

    /// Bytes in the connection's write queue from which on messages stay in the mailbox. Without it, as many bytes as
    /// the limit allows could wait in both.
    fn transfer_until(&self) -> usize {
        (self.config.write_queue_bytes / 16).clamp(4 * 1024, 64 * 1024)
    }

    /// Promises the free room to senders that wait.
    fn promise_room(&self, state: &mut State) {
        let State { senders, backlog, account, .. } = state;
        senders.promise(|len, promised| self.has_room(len, len, backlog, promised, account.as_ref()));
    }

    /// Whether a message of `len` bytes may come in. `owned` of them are not shared with other connections.
    fn admit(&self, state: &State, len: usize, owned: usize) -> Result<(), SendError> {
        if state.connection != ConnectionState::Open || state.is_closing() {
            return Err(SendError::Closed(()));
        }
        let State { senders, backlog, account, .. } = state;
        if self.has_room(len, owned, backlog, &senders.promised(), account.as_ref()) {
            Ok(())
        } else {
            Err(SendError::Full(()))
        }
    }

    /// As [`admit`](Self::admit), for a sender that does not wait. Senders that wait come first.
    fn admit_newcomer(&self, state: &State, len: usize, owned: usize) -> Result<(), SendError> {
        self.admit(state, len, owned)?;
        if state.senders.has_waiting() { Err(SendError::Full(())) } else { Ok(()) }
    }

    /// The rule of the connection's write queue. Room that is promised counts as taken.
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
        self.config.has_room_for(len, messages, bytes) && self.has_budget_for(owned, bytes, account)
    }

    /// Whether the memory budget has a share for `owned` bytes behind the `waiting` ones.
    fn has_budget_for(&self, owned: usize, waiting: usize, account: Option<&MemoryAccount>) -> bool {
        let Some(budget) = self.config.memory_budget() else { return true };
        owned == 0
            || waiting == 0
            || waiting.saturating_add(owned) < MemoryBudget::SMALL
            || account.map_or_else(|| budget.account().allows(owned), |account| account.allows(owned))
    }

    fn push(&self, state: &mut State, message: Queued) {
        state.count_in(&message);
        state.messages.push(message);
        state.charge(&self.config);
    }

    fn unlock_and_wake(&self, state: Locked<'_, State>) {
        drop(state);
        if !self.woken.swap(true, Ordering::Release) {
            self.waker.wake();
        }
    }

    fn lock(&self) -> Locked<'_, State> {
        Locked::new(|| self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn transfer_pings(&mut self, connection: &mut Connection, tx: &mut TransmitQueue) {
        let Some(Uncommon { pings, .. }) = self.uncommon.as_deref_mut() else { return };
        while let Some(ping) = pings.peek() {
            if connection.ping(ping.payload(), tx) == Err(ControlError::Full) {
                return;
            }
            pings.pop();
        }
    }

    fn transfer_messages(&mut self, until: usize, connection: &mut Connection, tx: &mut TransmitQueue) {
        while connection.queued(tx).bytes < until
            && let Some(message) = self.messages.pop()
        {
            // The connection counts the message from here, unless it gives it back.
            self.count_out(&message);
            match message.send(connection, tx) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    self.count_in(&message);
                    self.settle_account();
                    self.messages.put_back(message);
                    return;
                }
                Err(SendError::Closed(message)) => return message.drop_unlocked(),
            }
        }
    }

    /// The close goes last. Pings and messages that the connection has no room for yet hold it back.
    fn transfer_close(&mut self, connection: &mut Connection, tx: &mut TransmitQueue, now: Instant) {
        let Some(uncommon) = self.uncommon.as_deref_mut().filter(|uncommon| uncommon.pings.is_empty()) else {
            return;
        };
        if self.messages.is_empty()
            && let Some((code, reason)) = uncommon.close.take()
        {
            connection.close_and_receive(code, &reason, now, tx);
        }
        self.drop_idle_uncommon();
    }

    fn has_something_to_send(&self) -> bool {
        let uncommon = self.uncommon.as_ref().is_some_and(|uncommon| uncommon.has_something_to_send());
        uncommon || !self.messages.is_empty()
    }

    fn count_in(&mut self, message: &Queued) {
        self.backlog.add(message.len(), message.shared_len());
    }

    fn count_out(&mut self, message: &Queued) {
        self.backlog.remove(message.len(), message.shared_len());
        self.settle_account();
    }

    /// Charges the messages to the memory budget. As on a connection, a small amount is not counted, so that small
    /// messages do not touch the counter that all connections share.
    fn charge(&mut self, config: &ValidConfig) {
        if self.account.is_none() && self.backlog.held_bytes() >= MemoryBudget::SMALL {
            self.account = config.memory_budget().map(MemoryBudget::account);
        }
        self.settle_account();
    }

    fn settle_account(&mut self) {
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

    fn is_closing(&self) -> bool {
        self.uncommon.as_ref().is_some_and(|uncommon| uncommon.close.is_some())
    }

    /// Notes the connection's state. Unless that is open, everything that waits is dropped.
    fn set_connection(&mut self, connection: ConnectionState) {
        self.connection = connection;
        if connection != ConnectionState::Open {
            self.messages.drop_unlocked();
            self.backlog = Backlog::new();
            self.account = None;
            self.end_uncommon();
            self.senders.end();
        }
    }
}

impl Outlet for Mailbox {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut state = self.lock();
        match self.admit_newcomer(&state, message.len(), message.len()) {
            Ok(()) => {
                self.push(&mut state, Queued::Message(message));
                self.unlock_and_wake(state);
                Ok(())
            }
            Err(error) => Err(error.map(|()| message)),
        }
    }

    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut state = self.lock();
        self.admit_newcomer(&state, message.payload().len(), 0)?;
        self.push(&mut state, Queued::Prepared(message.clone()));
        self.unlock_and_wake(state);
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
            let mut state = self.lock();
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            let (len, entry) = (next.len(), state.senders.enter(place));
            let admitted = match entry {
                Entry::Newcomer | Entry::Promised => self.admit(&state, len, len),
                Entry::Waits => Err(SendError::Full(())),
            };
            match admitted {
                Ok(()) => {
                    self.push(&mut state, Queued::Message(next));
                    self.unlock_and_wake(state);
                    return Poll::Ready(Ok(()));
                }
                Err(SendError::Full(())) => *message = Some(next),
                Err(error) => return Poll::Ready(Err(error.map(|()| next))),
            }
            if state.senders.wait(place, entry == Entry::Promised, len, cx.waker(), &mut waker) {
                return Poll::Pending;
            }
            // A waker's clone may run foreign code, so it is made without the lock.
            drop(state);
            waker = Some(cx.waker().clone());
        }
    }

    fn cancelled(&self, place: Option<Place>) {
        let Some(place) = place else { return };
        let mut state = self.lock();
        state.senders.leave(place);
        self.promise_room(&mut state);
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut state = self.lock();
        if state.connection != ConnectionState::Open {
            return Err(ControlError::Closed);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlError::TooLong { len: payload.len() });
        }
        let pings = &mut state.uncommon().pings;
        pings.push(OpCode::Ping, payload).map_err(|_| ControlError::Full)?;
        self.unlock_and_wake(state);
        Ok(())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let mut state = self.lock();
        if state.connection == ConnectionState::Open && !state.is_closing() {
            state.uncommon().close = Some((code, reason.into()));
            // Messages of senders that still wait are not accepted any more.
            state.senders.end();
            self.unlock_and_wake(state);
        }
    }

    fn state(&self) -> ConnectionState {
        self.lock().connection
    }
}

#[cfg(test)]
mod tests;
