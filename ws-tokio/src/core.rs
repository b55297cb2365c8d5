//! What the handles to one connection share: its driver, behind a lock that is contended only while several tasks
//! really use the connection at once.

use std::{
    mem,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Instant,
};

use tokio::time::Sleep;
use ws_proto::{
    CloseCode, CloseInfo, Connection, ConnectionError, ConnectionState, ControlError, Message,
    PreparedMessage, SendError,
};

use crate::{
    driver::Driver,
    wait_list::{Due, Place, WaitList},
    wakers::Wakers,
};

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
        Self::new(io, connection, Mode::Inline { timer: None })
    }

    pub(crate) fn served(io: S, connection: Connection) -> Self {
        Self::new(io, connection, Mode::Served { turn: Turn::Idle, receiving: false, reads: 0, writes: 0 })
    }

    fn new(io: S, mut connection: Connection, mode: Mode) -> Self {
        // Messages are delivered to whoever asks for them; until then they are held, within `max_held_bytes`.
        connection.pause();
        let waiting = Arc::new(Wakers::default());
        let waker = Waker::from(Arc::clone(&waiting));
        Self {
            driver: Some(Driver::new(io, connection)),
            mode,
            now: now(),
            close_info: None,
            waiting,
            senders: WaitList::new(),
            waker,
            end_is_known: false,
            abandoned: false,
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

    /// Queues a message of the connection's owner, if there is room that is not promised to senders.
    pub(crate) fn queue(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if !self.senders.is_empty() && !self.owner_may_send(message.len()) {
            return Err(SendError::WriteBusy(message));
        }
        self.queue_at_once(message)
    }

    /// As [`queue`](Self::queue), for a sender that does not wait: those who do come first.
    pub(crate) fn queue_as_newcomer(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if !self.senders.is_empty() && !self.newcomer_may_send(message.len()) {
            return Err(SendError::WriteBusy(message));
        }
        self.queue_at_once(message)
    }

    /// Queues a message, if there is room.
    pub(crate) fn queue_at_once(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let Some(driver) = &mut self.driver else { return Err(SendError::InvalidState(message)) };
        let (connection, tx) = driver.parts_mut();
        connection.send_message(message, false, tx)?;
        self.wake_server_task();
        Ok(())
    }

    /// As [`queue`](Self::queue).
    pub(crate) fn queue_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if !self.senders.is_empty() && !self.owner_may_send(message.payload().len()) {
            return Err(SendError::WriteBusy(()));
        }
        self.queue_prepared_at_once(message)
    }

    /// As [`queue_as_newcomer`](Self::queue_as_newcomer).
    pub(crate) fn queue_prepared_as_newcomer(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if !self.senders.is_empty() && !self.newcomer_may_send(message.payload().len()) {
            return Err(SendError::WriteBusy(()));
        }
        self.queue_prepared_at_once(message)
    }

    fn queue_prepared_at_once(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let Some(driver) = &mut self.driver else { return Err(SendError::InvalidState(())) };
        let (connection, tx) = driver.parts_mut();
        connection.send_prepared(message, false, tx)?;
        self.wake_server_task();
        Ok(())
    }

    /// Whether the owner may send while senders wait, or something is promised to them.
    fn owner_may_send(&mut self, len: usize) -> bool {
        !self.is_open() || (self.has_room_beside_senders(len) && self.senders.may_pass())
    }

    fn newcomer_may_send(&self, len: usize) -> bool {
        !self.is_open() || (!self.senders.has_waiting() && self.has_room_beside_senders(len))
    }

    fn has_room_beside_senders(&self, len: usize) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.has_room_beside(len, &self.senders.promised()))
    }

    /// Promises the room that there is to senders that wait, and tells them if there will be none any more. Says whether
    /// something was promised.
    pub(crate) fn let_senders_in(&mut self) -> bool {
        if self.senders.is_empty() {
            return false;
        }
        let Some(driver) = self.driver.as_ref().filter(|_| self.is_open()) else {
            self.senders.end();
            return false;
        };
        let any = self.senders.promise(|len, promised| driver.has_room_beside(len, promised));
        if any {
            self.change_first_sender();
        }
        any
    }

    /// A sender gives its place up.
    pub(crate) fn leave(&mut self, place: Place) {
        let was_first = self.senders.is_first(Some(&place));
        self.senders.leave(place);
        if !self.let_senders_in() && was_first {
            self.change_first_sender();
        }
    }

    /// Without a server's task the first sender that waits moves the bytes; another one is the first now.
    fn change_first_sender(&mut self) {
        if matches!(self.mode, Mode::Inline { .. }) {
            self.waiting.forget_sender();
            self.senders.wake_first();
        }
    }

    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        let Some(driver) = &mut self.driver else { return Err(ControlError::InvalidState) };
        let (connection, tx) = driver.parts_mut();
        connection.send_ping(payload, tx)?;
        self.wake_server_task();
        Ok(())
    }

    pub(crate) fn queue_close(&mut self, code: CloseCode, reason: &str) {
        self.refresh_now();
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.close(code, reason, self.now, tx);
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
    fn wake_server_task(&self) {
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
            driver.handle_timeout(at);
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
        self.driver = None;
        self.waiting.wake_all();
        self.senders.end();
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

/// Locks. A panic under the lock leaves a state machine that is still sound, so poisoning means nothing here.
pub(crate) fn lock<S>(shared: &Mutex<Core<S>>) -> Locked<'_, S> {
    let core = shared.lock().unwrap_or_else(PoisonError::into_inner);
    Locked { core, due: WakeOnDrop::default() }
}

/// The lock on a connection. Senders that are due are woken once it is released.
pub(crate) struct Locked<'a, S> {
    core: MutexGuard<'a, Core<S>>,
    /// Behind `core`, for fields are dropped in order.
    due: WakeOnDrop,
}

#[derive(Default)]
struct WakeOnDrop(Due);

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
        self.due.0 = self.core.senders.take_due();
    }
}

impl Drop for WakeOnDrop {
    #[inline]
    fn drop(&mut self) {
        mem::take(&mut self.0).wake();
    }
}
