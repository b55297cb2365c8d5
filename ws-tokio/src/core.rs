//! What the handles to one connection share: its driver, behind a lock that is contended only while several tasks
//! really use the connection at once.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Sleep,
};
use ws_proto::{
    CloseCode, CloseInfo, Connection, ConnectionError, ConnectionState, ControlError, Event, Message,
    SendError, Transport,
};

use crate::{driver::Driver, scratch::ReceiveLease, wakers::Wakers};

pub(crate) type Shared<S> = Arc<Mutex<Core<S>>>;

pub(crate) struct Core<S> {
    /// Gone after `into_parts`, or once the connection is over.
    driver: Option<Driver<S>>,
    mode: Mode,
    now: Instant,
    close_info: Option<CloseInfo>,
    /// Everybody who waits for the transport, for room in the write queue, or for the end.
    waiting: Arc<Wakers>,
    /// Wakes all of `waiting`; the only waker that the transport sees.
    waker: Waker,
}

/// Who moves the bytes.
enum Mode {
    /// Whoever polls a handle. Deadlines are watched by a timer of the connection's own.
    Inline { timer: Option<Pin<Box<Sleep>>> },
    /// A server's task around the application's future: it writes at the end of each turn and watches deadlines.
    Served { in_turn: bool, receiving: bool, reads: u8 },
}

/// Reads per turn of a server's task; then other connections have theirs.
const READS_PER_TURN: u8 = 4;

impl<S> Core<S> {
    pub(crate) fn inline(io: S, connection: Connection) -> Self {
        Self::new(io, connection, Mode::Inline { timer: None })
    }

    pub(crate) fn served(io: S, connection: Connection) -> Self {
        Self::new(io, connection, Mode::Served { in_turn: false, receiving: false, reads: 0 })
    }

    fn new(io: S, mut connection: Connection, mode: Mode) -> Self {
        // Messages are delivered to whoever asks for them; until then they are held, within `max_held_bytes`.
        connection.pause();
        let waiting = Arc::new(Wakers::default());
        let waker = Waker::from(Arc::clone(&waiting));
        Self { driver: Some(Driver::new(io, connection)), mode, now: now(), close_info: None, waiting, waker }
    }

    pub(crate) fn shared(self) -> Shared<S> {
        Arc::new(Mutex::new(self))
    }

    pub(crate) const fn close_info(&self) -> Option<&CloseInfo> {
        self.close_info.as_ref()
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
        connection.send_message(message, false, tx)
    }

    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        let Some(driver) = &mut self.driver else { return Err(ControlError::InvalidState) };
        let (connection, tx) = driver.parts_mut();
        connection.send_ping(payload, tx)
    }

    pub(crate) fn queue_close(&mut self, code: CloseCode, reason: &str) {
        self.refresh_now();
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.close(code, reason, self.now, tx);
        }
    }

    pub(crate) fn fail(&mut self, error: ConnectionError) {
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.fail(error, self.now, tx);
        }
    }

    /// Wakes a server's task, so that it writes what was queued outside of its turn.
    pub(crate) fn wake_server_task(&self) {
        if matches!(self.mode, Mode::Served { in_turn: false, .. }) {
            self.waiting.wake_all();
        }
    }

    /// The application's part of a turn of the server's task begins.
    pub(crate) fn begin_turn(&mut self, task: &Waker, at: Instant) {
        self.now = at;
        self.waiting.register(task);
        self.mode = Mode::Served { in_turn: true, receiving: false, reads: 0 };
    }

    /// The application's part of the turn is over; whether it waits in `recv`.
    pub(crate) const fn end_application(&mut self) -> bool {
        let Mode::Served { in_turn, receiving, .. } = &mut self.mode else { return false };
        *in_turn = false;
        *receiving
    }

    /// Does what is due at `at`.
    pub(crate) fn handle_timeout(&mut self, at: Instant) {
        self.now = at;
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

    pub(crate) fn end_driver_turn(&mut self) {
        if let Some(driver) = &mut self.driver {
            driver.end_turn();
        }
    }

    /// Takes note of the end: nothing more is sent or received.
    fn on_closed(&mut self, info: CloseInfo) {
        self.close_info = Some(info);
        // Dropping the transport closes it.
        self.driver = None;
        self.waiting.wake_all();
    }

    /// A server's task sets the time once per turn; without one the clock is read.
    fn refresh_now(&mut self) {
        if !self.is_served() {
            self.now = now();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    /// The next message; `None` once the connection is over.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if let Mode::Served { receiving, .. } = &mut self.mode {
            *receiving = true;
        }
        let mut rx = ReceiveLease::take();
        loop {
            let Some(driver) = &mut self.driver else { return Poll::Ready(None) };
            driver.parts_mut().0.resume();
            while let Some(event) = driver.poll_event(&mut rx) {
                match event {
                    Event::Message(message) => {
                        let message = message.into_message();
                        self.hold_rest(&mut rx, Connection::hold);
                        self.after_message();
                        return Poll::Ready(Some(message));
                    }
                    Event::Closed(info) => {
                        self.on_closed(info);
                        return Poll::Ready(None);
                    }
                    _ => {}
                }
            }
            if self.poll_progress(cx, &mut rx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Moves bytes while nobody asks for messages: those that come are held.
    pub(crate) fn poll_background(&mut self, cx: &mut Context<'_>) {
        let mut rx = ReceiveLease::take();
        loop {
            self.hold_rest(&mut rx, Connection::pause);
            // A finished transport has nothing more to give; messages that came before its end wait for `recv`.
            let over = self.driver.as_ref().is_none_or(|driver| driver.transport() == Transport::Finished);
            if over || self.poll_progress(cx, &mut rx).is_pending() {
                return;
            }
        }
    }

    /// Waits until everything queued is written, or the connection is over.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        if !matches!(self.mode, Mode::Served { .. }) {
            self.now = now();
        }
        self.waiting.register(cx.waker());
        let written = driver.poll_write(&mut Context::from_waker(&self.waker), self.now);
        driver.end_turn();
        written
    }

    /// Queues `message` once there is room; it is taken when it is accepted or refused.
    pub(crate) fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), SendError<Message>>> {
        loop {
            let Some(next) = message.take() else { return Poll::Ready(Ok(())) };
            match self.queue(next) {
                Err(SendError::WriteBusy(back)) => *message = Some(back),
                result => return Poll::Ready(result),
            }
            let before = self.queued();
            if self.poll_flush(cx).is_pending() && self.queued() == before {
                return Poll::Pending;
            }
        }
    }

    /// Waits until at least a small message has room.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.driver.as_ref().is_some_and(|driver| !driver.has_room()) {
            let before = self.queued();
            if self.poll_flush(cx).is_pending() && self.queued() == before {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Sees that what another task has queued goes out: by the server's task, or at once.
    pub(crate) fn kick(&mut self) {
        if self.is_served() {
            self.wake_server_task();
        } else if let Some(driver) = &mut self.driver {
            self.now = now();
            let _ = driver.poll_write(&mut Context::from_waker(&self.waker), self.now);
            driver.end_turn();
        }
    }

    /// Writes, unless the turn's end will, and shuts down as the machine asks. `Ready`: the transport is finished.
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.refresh_now();
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        if matches!(self.mode, Mode::Served { in_turn: true, .. }) {
            return Poll::Pending;
        }
        self.waiting.register(cx.waker());
        let mut io_cx = Context::from_waker(&self.waker);
        let queued = driver.queued();
        let _ = driver.poll_write(&mut io_cx, self.now);
        driver.poll_shut_down(&mut io_cx);
        if driver.queued() < queued {
            // Whoever waits for room.
            self.waiting.wake_others(cx.waker());
        }
        if driver.transport() == Transport::Finished { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Writes, reads and watches the clock, once. `Ready`: look for events again.
    fn poll_progress(&mut self, cx: &mut Context<'_>, rx: &mut ReceiveLease) -> Poll<()> {
        if self.poll_output(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        if let Mode::Served { reads, .. } = &mut self.mode {
            *reads += 1;
            if *reads > READS_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        self.waiting.register(cx.waker());
        let read = driver.poll_read(&mut Context::from_waker(&self.waker), self.now, rx);
        driver.end_turn();
        if read.is_ready() { read } else { self.poll_timer(cx) }
    }

    /// The connection's own timer, where there is no server's task. `Ready`: something was due.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Mode::Inline { timer } = &mut self.mode else { return Poll::Pending };
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        loop {
            let Some(due) = driver.poll_timeout() else { return Poll::Pending };
            if due <= now() {
                driver.handle_timeout(now());
                return Poll::Ready(());
            }
            let due = tokio::time::Instant::from_std(due);
            // Deadlines mostly move away: an earlier timer stays as it is, and is set again when it fires.
            let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if sleep.deadline() > due || sleep.is_elapsed() {
                sleep.as_mut().reset(due);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Parses what is left of a read; the messages in it are held for later.
    fn hold_rest(&mut self, rx: &mut ReceiveLease, how: fn(&mut Connection)) {
        let Some(driver) = &mut self.driver else { return };
        let mut closed = None;
        how(driver.parts_mut().0);
        while let Some(event) = driver.poll_event(rx) {
            if let Event::Closed(info) = event {
                closed = Some(info);
            }
        }
        if let Some(info) = closed {
            self.on_closed(info);
        }
    }

    /// Answers to control frames must not wait until the application asks for another message.
    fn after_message(&mut self) {
        if let Some(driver) = &mut self.driver {
            if !matches!(self.mode, Mode::Served { .. }) {
                let _ = driver.poll_write(&mut Context::from_waker(&self.waker), self.now);
            }
            driver.end_turn();
        }
    }

    fn queued(&self) -> usize {
        self.driver.as_ref().map_or(0, Driver::queued)
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
