//! The queue of what other tasks send on a connection that a [`Handler`](crate::Handler) owns.
//!
//! The connection belongs to its task and has no lock. A [`Sender`](ws_tokio::Sender) puts messages into the mailbox
//! and wakes the connection; the connection's next turn moves them to its write queue. The mailbox admits and counts
//! messages by the rules of the write queue: [`ValidConfig::has_room_for`] and [`Backlog`].

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use ws_proto::{
    CloseCode, Connection, ConnectionState, TransmitQueue, ValidConfig,
    error::{ControlError, SendError},
    frame::{ControlQueue, OpCode},
    memory::{Backlog, MemoryAccount, MemoryBudget},
};
use ws_tokio::internal::{Feed, Filled, Locked, PendingPings, TrafficCounters, WaitList};

use crate::shard::wake::ConnWaker;

mod feed;
mod messages;
mod outlet;
mod ping_rtt;
mod pressure;

use messages::{AnyMessage, MessageQueue, QueuedMessage};

pub(crate) struct Mailbox {
    config: ValidConfig,
    waker: ConnWaker,
    /// Whether the connection was woken and has not looked into the mailbox since.
    woken: AtomicBool,
    /// Whether a feed was attached. Never reset.
    has_feed: AtomicBool,
    /// Whether a message was refused here, or the feed has closed the connection.
    is_pressed: AtomicBool,
    /// Counts refused messages.
    counters: Arc<TrafficCounters>,
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
    /// Tasks that wait until nothing more can be sent.
    closed_waiters: WaitList,
    /// The connection's next turn ends it without a Close frame.
    is_aborted: bool,
    /// A message was refused since nothing waited.
    has_refused: bool,
    /// The feed has closed the connection.
    is_cut_off: bool,
    /// Present while the connection is open, once one is attached.
    feed: Option<Arc<dyn Feed>>,
    /// `None` for most mailboxes.
    rare: Option<Box<Rare>>,
}

/// What most mailboxes never have, apart from the rest to keep that small.
#[derive(Default)]
struct Rare {
    /// Pings and pongs.
    control: ControlQueue,
    /// A close that waits behind the messages.
    close: Option<CloseRequest>,
    /// The pings that are timed.
    timed: PendingPings,
}

impl Rare {
    const fn has_something_to_send(&self) -> bool {
        !self.control.is_empty() || self.close.is_some()
    }
}

/// Without a code, the Close frame is empty.
struct CloseRequest {
    code: Option<CloseCode>,
    reason: Box<str>,
    /// Of the connection's feed, what came before this mark goes first.
    mark: u64,
}

impl Mailbox {
    pub(super) fn new(config: &ValidConfig, waker: ConnWaker, counters: Arc<TrafficCounters>) -> Self {
        let state = State {
            messages: MessageQueue::default(),
            backlog: Backlog::new(),
            account: None,
            connection: ConnectionState::Open,
            senders: WaitList::new(),
            closed_waiters: WaitList::new(),
            is_aborted: false,
            has_refused: false,
            is_cut_off: false,
            feed: None,
            rare: None,
        };
        let [woken, has_feed, is_pressed] = [const { AtomicBool::new(false) }; 3];
        Self {
            config: config.clone(),
            waker,
            woken,
            has_feed,
            is_pressed,
            counters,
            state: Mutex::new(state),
        }
    }

    /// Whether something was put in since the last call.
    #[inline]
    pub(super) fn take_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Acquire)
    }

    /// Whether something was put in since [`take_woken`](Self::take_woken). If a thread puts something in and then
    /// publishes, what it put in is seen here by those that see the publication.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only the reactor writes without a turn")
    )]
    #[inline]
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }

    /// Moves control frames, messages, what waits in the feed, and a close to the connection, as far as it has room for
    /// them. Returns whether some are left. Ends the connection if a sender has aborted it.
    pub(super) fn transfer(&self, connection: &mut Connection, tx: &mut TransmitQueue, now: Instant) -> bool {
        let mut state = self.lock();
        if state.is_aborted {
            connection.abort(tx);
        }
        state.transfer_control(connection, tx);
        let moved = state.transfer_messages(self.transfer_until(), connection, tx, now);
        if moved == Filled::Empty {
            state.transfer_close(connection, tx, now);
        }
        state.set_connection(connection.state());
        self.promise_room(&mut state);
        self.press_if_cut_off(&state);
        (moved == Filled::More && state.is_connected()) || state.has_something_to_send()
    }

    /// The connection is closing or closed: what waits is dropped, and senders get an error.
    pub(super) fn end(&self, connection: ConnectionState) {
        self.lock().set_connection(connection);
    }

    /// Bytes in the connection's write queue from which on messages stay in the mailbox.
    pub(super) fn transfer_until(&self) -> usize {
        self.config.transfer_until()
    }

    /// Promises the free room to senders that wait.
    fn promise_room(&self, state: &mut State) {
        let State { senders, backlog, account, .. } = state;
        senders.promise(|len, promised| self.has_room(len, len, backlog, promised, account.as_ref()));
    }

    /// Whether a message of `len` bytes may come in. `owned` of them are not shared with other connections.
    fn admit(&self, state: &State, len: usize, owned: usize) -> Result<(), SendError> {
        if !state.is_open() {
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
        MemoryBudget::has_room(owned, waiting, || {
            account.map_or_else(|| budget.account().allows(owned), |account| account.allows(owned))
        })
    }

    fn push(&self, state: &mut State, message: AnyMessage) {
        state.count_in(&message);
        let mark = state.feed_mark();
        state.messages.push(QueuedMessage { message, mark });
        state.charge(self.config.memory_budget());
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
    fn transfer_control(&mut self, connection: &mut Connection, tx: &mut TransmitQueue) {
        let Some(Rare { control, .. }) = self.rare.as_deref_mut() else { return };
        while let Some(frame) = control.peek() {
            let sent = match frame.opcode() {
                OpCode::Pong => connection.pong(frame.payload(), tx),
                _ => connection.ping(frame.payload(), tx),
            };
            if sent == Err(ControlError::Full) {
                return;
            }
            control.pop();
        }
    }

    /// Moves messages, each behind what came before it in the feed.
    fn transfer_messages(
        &mut self,
        until: usize,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        loop {
            if self.fill_before_next(until, connection, tx, now) == Filled::More {
                return Filled::More;
            }
            if self.messages.is_empty() {
                return Filled::Empty;
            }
            if connection.queued(tx).bytes >= until || self.transfer_one(connection, tx) == Filled::More {
                return Filled::More;
            }
        }
    }

    /// Moves the next message.
    fn transfer_one(&mut self, connection: &mut Connection, tx: &mut TransmitQueue) -> Filled {
        let Some(QueuedMessage { message, mark }) = self.messages.pop() else { return Filled::Empty };
        // The connection counts the message from here, unless it gives it back.
        self.count_out(&message);
        match message.send(connection, tx) {
            Ok(()) => Filled::Empty,
            Err(SendError::Full(message)) => {
                self.count_in(&message);
                self.charge(connection.config().memory_budget());
                self.messages.put_back(QueuedMessage { message, mark });
                Filled::More
            }
            Err(SendError::Closed(message)) => {
                message.drop_unlocked();
                Filled::Empty
            }
        }
    }

    /// The close goes last. Control frames and messages that the connection has no room for yet hold it back.
    fn transfer_close(&mut self, connection: &mut Connection, tx: &mut TransmitQueue, now: Instant) {
        let Some(rare) = self.rare.as_deref_mut().filter(|rare| rare.control.is_empty()) else {
            return;
        };
        let close = if self.messages.is_empty() { rare.close.take() } else { None };
        match close {
            Some(CloseRequest { code: Some(code), reason, .. }) => {
                connection.close_and_receive(code, &reason, now, tx)
            }
            Some(CloseRequest { code: None, .. }) => connection.close_without_code_and_receive(now, tx),
            None => {}
        }
        self.drop_idle_rare();
    }

    fn has_something_to_send(&self) -> bool {
        let rare = self.rare.as_ref().is_some_and(|rare| rare.has_something_to_send());
        rare || !self.messages.is_empty()
    }

    fn count_in(&mut self, message: &AnyMessage) {
        self.backlog.add(message.len(), message.shared_len());
    }

    fn count_out(&mut self, message: &AnyMessage) {
        self.backlog.remove(message.len(), message.shared_len());
        if self.account.is_some() {
            self.charge(None);
        }
    }

    /// Charges the messages to the memory budget.
    #[inline]
    fn charge(&mut self, budget: Option<&MemoryBudget>) {
        MemoryAccount::update(&mut self.account, budget, self.backlog.held_bytes());
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Whether senders may send: the connection is open, and no sender has closed it.
    fn is_open(&self) -> bool {
        self.is_connected() && !self.is_closing()
    }

    fn is_connected(&self) -> bool {
        self.connection == ConnectionState::Open
    }

    fn is_closing(&self) -> bool {
        self.is_aborted || self.rare.as_ref().is_some_and(|rare| rare.close.is_some())
    }

    /// Notes the connection's state. Unless that is open, everything that waits is dropped.
    fn set_connection(&mut self, connection: ConnectionState) {
        self.connection = connection;
        if connection != ConnectionState::Open {
            self.end_feed();
            self.drop_queued();
            self.end_waiting();
        }
    }

    /// Drops everything that waits for the connection.
    fn drop_queued(&mut self) {
        self.messages.drop_unlocked();
        self.backlog = Backlog::new();
        self.account = None;
        self.end_rare();
    }

    /// Wakes the tasks that wait for room or for the end, because nothing more can be sent.
    fn end_waiting(&mut self) {
        self.senders.end();
        self.closed_waiters.end();
    }
}

#[cfg(test)]
mod tests;
