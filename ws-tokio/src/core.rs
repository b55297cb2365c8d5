//! What the handles to one connection share: its driver, behind a lock that is contended only while several tasks
//! really use the connection at once.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Instant,
};

use tokio::time::Sleep;
use ws_proto::{
    CloseCode, CloseInfo, Connection, ConnectionError, ConnectionState, ControlError, Message,
    PreparedMessage, SendError, SendQueue,
};

use crate::{driver::Driver, wakers::Wakers};

pub(crate) type Shared<S> = Arc<Mutex<Core<S>>>;

pub(crate) struct Core<S> {
    /// Gone after `into_parts`, or once the connection is over.
    pub(crate) driver: Option<Driver<S>>,
    pub(crate) mode: Mode,
    pub(crate) now: Instant,
    /// Boxed, for it comes late and is large.
    close_info: Option<Box<CloseInfo>>,
    /// Everybody who waits for the transport, for room in the write queue, or for the end.
    pub(crate) waiting: Arc<Wakers>,
    /// Wakes all of `waiting`; the only waker that the transport sees.
    pub(crate) waker: Waker,
    /// Whether those who wait for room know that there will be none any more.
    pub(crate) end_is_known: bool,
    /// Nobody will ask for messages any more.
    pub(crate) abandoned: bool,
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
            waker,
            end_is_known: false,
            abandoned: false,
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
        self.driver.take()
    }

    /// Queues a message, if there is room.
    pub(crate) fn queue(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let Some(driver) = &mut self.driver else { return Err(SendError::InvalidState(message)) };
        let (connection, tx) = driver.parts_mut();
        connection.send_message(message, false, tx)?;
        self.wake_server_task();
        Ok(())
    }

    pub(crate) fn queue_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let Some(driver) = &mut self.driver else { return Err(SendError::InvalidState(())) };
        let (connection, tx) = driver.parts_mut();
        connection.send_prepared(message, false, tx)?;
        self.wake_server_task();
        Ok(())
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
        self.driver = None;
        self.waiting.wake_all();
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
pub(crate) fn lock<S>(shared: &Mutex<Core<S>>) -> MutexGuard<'_, Core<S>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
