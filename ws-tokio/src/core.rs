//! What the handles to one connection share: its driver, behind a lock that is contended only while several tasks
//! really use the connection at once.

use std::{
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::time::Sleep;
use ws_proto::{
    CloseCode, CloseInfo, Connection, ConnectionError, ConnectionState, ControlError, SendQueue, Transport,
};

use crate::{driver::Driver, foreign::Hold, wait_list::WaitList, wakers::Wakers};

pub(crate) type Shared<S> = Arc<Mutex<Core<S>>>;

pub(crate) struct Core<S> {
    /// Gone after `into_parts`, or once the connection is over.
    pub(crate) driver: Option<Driver<S>>,
    pub(crate) mode: Mode,
    pub(crate) now: Instant,
    /// Boxed, for it comes late and is large.
    close_info: Option<Box<CloseInfo>>,
    /// The tasks that wait for the transport or for the end.
    pub(crate) waiting: Arc<Wakers>,
    /// Senders that wait for room in the write queue.
    pub(crate) senders: WaitList,
    /// Wakes all of `waiting`; the only waker that the transport sees.
    pub(crate) waker: Waker,
    /// Whether those who wait for room know that there will be none any more.
    pub(crate) end_is_known: bool,
    /// Nobody will ask for messages any more.
    pub(crate) abandoned: bool,
    /// The latest poll stopped because its task's waker is not in `waiting`.
    pub(crate) is_unknown: bool,
    /// Dropped once the lock is free: its transport has a destructor.
    ended: Option<Box<Driver<S>>>,
    /// `recv` was polled since the last send, so the send need not look at what has come.
    pub(crate) has_received: bool,
    /// Whether those who wait for the end know that only held messages are left.
    finish_is_known: bool,
    /// Messages that were accepted so far.
    pub(crate) accepted: u64,
    /// What the transport knows of its send queue.
    pub(crate) look: fn(&S) -> Option<SendQueue>,
}

/// Who moves the bytes.
pub(crate) enum Mode {
    /// Whoever polls a handle. Deadlines are watched by a timer of the connection's own.
    Inline { timer: Option<Pin<Box<Sleep>>> },
    /// A server's task around the application's future: it writes at the end of each turn and watches deadlines.
    /// `receiving`: the application waits in `recv`, so it is the one that reads.
    Served { turn: Turn, receiving: bool, reads: u8, writes: u8 },
}

/// How far a server's task is. Other tasks may use the connection at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It sleeps.
    Idle,
    /// It polls the application's future; what that sends is collected.
    Application,
    /// It moves bytes.
    Transport,
}

impl<S> Core<S> {
    pub(crate) fn inline(io: S, connection: Connection) -> Self {
        Self::new(Driver::new(io, connection), Mode::Inline { timer: None })
    }

    pub(crate) fn served(driver: Driver<S>) -> Self {
        Self::new(driver, Mode::Served { turn: Turn::Idle, receiving: false, reads: 0, writes: 0 })
    }

    fn new(mut driver: Driver<S>, mode: Mode) -> Self {
        // Messages are delivered to whoever asks for them; until then they are held, within `max_held_bytes`.
        driver.connection_mut().pause();
        let waiting = Arc::new(Wakers::default());
        let waker = Waker::from(Arc::clone(&waiting));
        Self {
            driver: Some(driver),
            mode,
            now: now(),
            close_info: None,
            waiting,
            senders: WaitList::new(),
            waker,
            end_is_known: false,
            abandoned: false,
            is_unknown: false,
            ended: None,
            has_received: false,
            finish_is_known: false,
            accepted: 0,
            look: |_| None,
        }
    }

    /// The transport can tell what its send queue looks like.
    pub(crate) const fn watch_send_queue(&mut self, look: fn(&S) -> Option<SendQueue>) {
        self.look = look;
        if let Some(driver) = &mut self.driver {
            driver.connection_mut().watch_send_queue();
        }
    }

    pub(crate) fn shared(self) -> Shared<S> {
        Arc::new(Mutex::new(self))
    }

    pub(crate) fn close_info(&self) -> Option<&CloseInfo> {
        self.close_info.as_deref()
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.driver.as_ref().map_or(ConnectionState::Closed, |driver| driver.connection().state())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state() == ConnectionState::Open
    }

    pub(crate) const fn driver(&self) -> Option<&Driver<S>> {
        self.driver.as_ref()
    }

    pub(crate) const fn driver_mut(&mut self) -> Option<&mut Driver<S>> {
        self.driver.as_mut()
    }

    pub(crate) const fn is_served(&self) -> bool {
        matches!(self.mode, Mode::Served { .. })
    }

    /// Takes the connection away from everybody.
    pub(crate) fn take_driver(&mut self) -> Option<Driver<S>> {
        self.waiting.wake_all();
        self.senders.end();
        self.driver.take()
    }

    /// Ends the transport: it and what waits to be written are dropped once the lock is free.
    pub(crate) fn end(&mut self) {
        self.waiting.wake_all();
        self.senders.end();
        if let Some(mut driver) = self.driver.take() {
            driver.give_up();
            self.ended = Some(Box::new(driver));
        }
    }

    /// Whether the task will be woken; if not, [`poll`] adds it and polls again. Ask before anything that takes time.
    pub(crate) fn is_known(&mut self, cx: &Context<'_>) -> bool {
        self.is_unknown = !self.waiting.knows(cx.waker());
        !self.is_unknown
    }

    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        let Some(driver) = &mut self.driver else { return Err(ControlError::InvalidState) };
        let (connection, tx) = driver.parts_mut();
        connection.send_ping(payload, tx)?;
        self.wake_server_task();
        Ok(())
    }

    /// Begins the closing handshake; messages that are held or still come are dropped.
    pub(crate) fn queue_close(&mut self, code: CloseCode, reason: &str) {
        self.refresh_now();
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.close(code, reason, self.now, tx);
            self.wake_server_task();
        }
    }

    /// Begins the closing handshake; messages are delivered until the peer's Close.
    pub(crate) fn queue_close_and_receive(&mut self, code: CloseCode, reason: &str) {
        self.refresh_now();
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.close_and_receive(code, reason, self.now, tx);
            self.wake_server_task();
        }
    }

    pub(crate) fn fail(&mut self, error: ConnectionError) {
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.fail(error, self.now, tx);
        }
    }

    /// Nobody will ask for messages any more; the server's task sees the connection to its end.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        if std::thread::panicking() {
            // The application's panic unwinds through here.
            self.fail(ConnectionError::Internal);
        } else {
            self.queue_close(CloseCode::NORMAL, "");
        }
        self.wake_server_task();
    }

    /// Wakes a server's task, so that it writes what was queued outside of its turn, and looks at the deadlines.
    pub(crate) fn wake_server_task(&self) {
        if matches!(self.mode, Mode::Served { turn: Turn::Idle, .. }) {
            self.waiting.wake_all();
        }
    }

    /// The application's part of a turn of the server's task begins.
    pub(crate) fn begin_turn(&mut self, task: &Waker, at: Instant) {
        self.advance_to(at);
        self.waiting.register(task);
        self.mode = Mode::Served { turn: Turn::Application, receiving: false, reads: 0, writes: 0 };
    }

    /// The application's part of the turn is over; whether it waits in `recv`.
    pub(crate) const fn end_application(&mut self) -> bool {
        let Mode::Served { turn, receiving, .. } = &mut self.mode else { return false };
        *turn = Turn::Transport;
        *receiving
    }

    pub(crate) fn end_turn(&mut self) {
        if let Mode::Served { turn, .. } = &mut self.mode {
            *turn = Turn::Idle;
        }
        if let Some(driver) = &mut self.driver {
            driver.end_turn();
        }
    }

    /// Does what is due at `at`.
    pub(crate) fn handle_timeout(&mut self, at: Instant) {
        self.advance_to(at);
        if let Some(driver) =
            self.driver.as_mut().filter(|driver| driver.poll_timeout().is_some_and(|due| due <= at))
        {
            driver.handle_timeout(at, self.look);
        }
    }

    pub(crate) fn abort(&mut self) {
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.abort(tx);
        }
    }

    /// Takes note of the end: nothing more is sent or received.
    pub(crate) fn on_closed(&mut self, info: CloseInfo) {
        self.close_info = Some(Box::new(info));
        // Dropping the transport closes it.
        self.end();
    }

    /// Wakes, once, those who wait for the end when nothing is left but messages that the application has not taken.
    pub(crate) fn tell_of_finish(&mut self) {
        let is_finished =
            self.driver.as_ref().is_some_and(|driver| driver.transport() == Transport::Finished);
        if is_finished && !self.finish_is_known {
            self.finish_is_known = true;
            self.waiting.wake_all();
        }
    }

    /// A server's task sets the time once per turn; outside of it the clock is read.
    pub(crate) fn refresh_now(&mut self) {
        if matches!(self.mode, Mode::Inline { .. } | Mode::Served { turn: Turn::Idle, .. }) {
            self.advance_to(now());
        }
    }

    /// A server's clock is coarse, so it may lag behind what another task read.
    fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }
}

/// The runtime's clock, which tests may pause.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A connection that is locked. Payloads that are written or given up, and a transport that has ended, are dropped once
/// the lock is free, and tasks are woken then.
pub(crate) struct Locked<'a, S> {
    // Dropped in this order.
    core: MutexGuard<'a, Core<S>>,
    ended: Option<Box<Driver<S>>>,
    _hold: Hold,
}

/// Locks. A panic under the lock leaves a state machine that is still sound, so poisoning means nothing here.
#[inline]
pub(crate) fn lock<S>(shared: &Mutex<Core<S>>) -> Locked<'_, S> {
    let _hold = Hold::new();
    let core = shared.lock().unwrap_or_else(PoisonError::into_inner);
    Locked { core, ended: None, _hold }
}

impl<S> Deref for Locked<'_, S> {
    type Target = Core<S>;

    #[inline]
    fn deref(&self) -> &Core<S> {
        &self.core
    }
}

impl<S> DerefMut for Locked<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Core<S> {
        &mut self.core
    }
}

impl<S> Drop for Locked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.ended = self.core.ended.take();
        if self.core.senders.take_owner_call() {
            self.core.waiting.wake_all();
        }
        if let Some(driver) = &mut self.core.driver {
            driver.drop_spent();
        }
    }
}

/// Polls under the lock, for a task of the application. If its waker is not known yet, it is cloned without the lock, for
/// that may run its executor's code, and the poll is repeated.
pub(crate) fn poll<S, T>(
    shared: &Mutex<Core<S>>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Core<S>, &mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    {
        let mut core = lock(shared);
        core.is_unknown = false;
        let polled = poll(&mut core, cx);
        if polled.is_ready() || !core.is_unknown {
            return polled;
        }
    }
    let waker = cx.waker().clone();
    let mut core = lock(shared);
    core.waiting.add(waker);
    // If it is unknown again, it has been woken meanwhile.
    poll(&mut core, cx)
}
