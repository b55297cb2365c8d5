//! The server's handle to a connection with an async function. It begins and ends the turns.

use std::{
    fmt,
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, CloseInfo, Connection, close::Initiator, error::ConnectionError};

use crate::{
    driver::Driver,
    feed::Home,
    pressure::Pressure,
    shared::{Input, Shared, SharedState, StateGuard, lock, lock_briefly, turn},
    traffic::TrafficCounters,
    turn_work::begin_turn_work,
    websocket::WebSocket,
};

/// The server's handle to a connection whose [`WebSocket`] the application has. The server's task runs the
/// application's future and moves the bytes.
///
/// A turn of that task calls [`begin_turn`](Self::begin_turn), polls the application's future, and calls
/// [`end_turn`](Self::end_turn).
pub struct ServerHalf<S> {
    shared: Shared<S>,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEnd {
    /// The connection is over.
    pub has_ended: bool,
    /// When the next turn is due at the latest. `None` if there is no deadline, or the task's timer is early enough.
    pub due: Option<Instant>,
    /// Nothing is in progress. If not, `due` may be `None` only because reading has stopped for a while.
    pub is_quiet: bool,
    /// The transport takes no bytes, a message was refused, or the feed has closed the connection: look at the
    /// [`pressure`](ServerHalf::pressure).
    pub is_pressed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerHalf<S> {
    /// Creates the handles of the server and the application. `received` are the bytes that came with the
    /// handshake.
    #[must_use]
    pub fn new(io: S, connection: Connection, received: &[u8]) -> (Self, WebSocket<S>) {
        Self::with_trust(io, connection, received, false)
    }

    /// Creates the handles, as [`new`](Self::new) does, for a transport that may be trusted
    /// ([`Driver::with_trust`]).
    #[must_use]
    pub fn with_trust(
        io: S,
        connection: Connection,
        received: &[u8],
        is_trusted: bool,
    ) -> (Self, WebSocket<S>) {
        let mut driver = Driver::with_trust(io, connection, is_trusted);
        driver.preload(received);
        let shared = SharedState::for_server_task(driver).shared();
        (Self { shared: shared.clone() }, WebSocket::from_shared(shared))
    }

    /// Counts from now on what the connection receives and sends.
    pub fn count_in(&self, counters: Arc<TrafficCounters>) {
        lock(&self.shared).count_in(counters);
    }

    /// Says that a reactor runs the connection, and where. `release` takes the transport out of the reactor, for
    /// [`WebSocket::into_parts`]. The connection is locked during the call.
    pub fn set_reactor(&self, home: Home, release: fn(S) -> S) {
        lock(&self.shared).set_reactor(home, release);
    }

    /// Begins a turn. Call it before the application's future is polled. Until [`end_turn`](Self::end_turn), messages
    /// are queued and not written.
    pub fn begin_turn(&self, cx: &Context<'_>, now: Instant) {
        begin_turn_work();
        turn::begin(&*self.shared, cx.waker(), now);
    }

    /// Ends a turn. Call it after the application's future was polled. It handles the deadlines that have passed at
    /// `now` and writes what was sent. If the application does not wait for a message, it also reads, so that pings and
    /// a Close are answered.
    ///
    /// `Ready` means that the connection is over; [`close_info`](Self::close_info) says how it ended. `Pending` means
    /// that the waker is registered; also run a turn at [`poll_timeout`](Self::poll_timeout).
    pub fn end_turn(&self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.end_turn_with_timer(cx, now, false).has_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ends a turn and returns the next deadline, as [`end_turn`](Self::end_turn) and
    /// [`poll_timeout`](Self::poll_timeout) do. `is_armed` says that the task has a timer that has not fired. Then
    /// deadlines are not checked, because they can only have moved to a later time.
    pub fn end_turn_with_timer(&self, cx: &mut Context<'_>, now: Instant, is_armed: bool) -> TurnEnd {
        if is_armed && turn::is_done(&*self.shared) {
            turn::end(&*self.shared);
            return TurnEnd { has_ended: false, due: None, is_quiet: true, is_pressed: false };
        }
        let mut state = lock(&self.shared);
        turn::end(&*self.shared);
        let is_receiving = state.end_application();
        state.waiting.register(cx.waker());
        if !is_armed {
            state.handle_timeout(now);
        }
        if is_receiving && state.driver().is_some() {
            if state.poll_output(cx).is_ready() {
                // The application sees the end in its `recv`.
                state.waiting.wake_all();
            }
        } else {
            state.poll_background(cx, Connection::pause);
            state.notify_finished();
        }
        state.end_turn();
        let is_pressed = state.is_pressed();
        let Some(driver) = state.driver() else {
            return TurnEnd { has_ended: true, due: None, is_quiet: true, is_pressed };
        };
        let due = if is_armed && driver.is_quiet() { None } else { driver.poll_timeout() };
        TurnEnd { has_ended: false, due, is_quiet: driver.is_quiet(), is_pressed }
    }

    /// Updates a transport that wakes no tasks by itself. `f` sets its readiness, and returns whether a read that does
    /// not fill its memory takes all that has arrived, so that there is nothing to read until the next call. Then all
    /// tasks that wait for the transport are woken except `task`, which is about to be polled.
    pub fn notify_transport(&self, task: &Waker, f: impl FnOnce(&mut S) -> bool) {
        let mut state = lock_briefly(&self.shared);
        if let Some(driver) = state.driver_mut() {
            state.input = if f(driver.io_mut()) { Input::Some } else { Input::Unknown };
        }
        if state.waiting.may_have_others(task) {
            StateGuard::of(state).waiting.wake_others(task);
        }
    }

    /// Returns what waits for the peer, and what that has led to. That the feed has closed the connection is reported
    /// once. With `asks_feed`, and while the transport takes no bytes, what waits in the feed counts too.
    #[must_use]
    pub fn pressure(&self, asks_feed: bool) -> Pressure {
        lock(&self.shared).take_pressure(asks_feed)
    }

    /// Returns when the next turn is due if there is no wake-up before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        lock(&self.shared).driver()?.poll_timeout()
    }

    /// Begins the closing handshake. Messages that still arrive are dropped.
    pub fn close(&self, code: CloseCode, reason: &str) {
        lock(&self.shared).queue_close(Some(code), reason);
    }

    /// Ends the connection because the application failed.
    pub fn fail(&self, error: ConnectionError) {
        lock(&self.shared).fail(error);
    }

    /// Ends the connection at once, without a Close frame.
    pub fn abort(&self) {
        lock(&self.shared).abort();
    }

    /// Returns how the connection ended. `None` until then.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        lock(&self.shared).close_info().cloned()
    }
}

impl<S> fmt::Debug for ServerHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHalf").field("state", &lock(&self.shared).state()).finish_non_exhaustive()
    }
}

impl<S> Drop for ServerHalf<S> {
    fn drop(&mut self) {
        // A panic may have cut the turn short.
        turn::end(&*self.shared);
        let mut state = lock(&self.shared);
        if state.driver().is_some() {
            // No task moves the bytes any more, so the connection ends, and the application's tasks are woken.
            let mut info = CloseInfo::new(Initiator::Local);
            info.error = Some(ConnectionError::Transport(ErrorKind::ConnectionAborted));
            state.on_closed(info);
        }
    }
}
