use std::{
    io::ErrorKind,
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, CloseInfo, Connection, ConnectionError, Initiator};

use crate::{
    driver::Driver,
    shared::{Shared, SharedState, lock},
    websocket::WebSocket,
};

/// A server's end of a [`WebSocket`]: for the task that runs the application's future and moves the bytes around it.
///
/// One turn of that task: [`begin_turn`](Self::begin_turn), poll the application's future,
/// [`end_turn`](Self::end_turn).
pub struct ServerHalf<S> {
    shared: Shared<S>,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnEnd {
    /// The connection is over.
    pub over: bool,
    /// When the next turn is due at the latest; `None` if it has no deadline, or the task's timer is early enough.
    pub due: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerHalf<S> {
    /// Splits a connection into the task's end and the application's. `received` is what was read behind the
    /// handshake.
    #[must_use]
    pub fn new(io: S, connection: Connection, received: &[u8]) -> (Self, WebSocket<S>) {
        Self::with_driver(Driver::new(io, connection), received)
    }

    /// As [`new`](Self::new), for a transport that keeps its contract ([`Driver::trusting`]).
    #[must_use]
    pub fn trusting(io: S, connection: Connection, received: &[u8]) -> (Self, WebSocket<S>) {
        Self::with_driver(Driver::trusting(io, connection), received)
    }

    fn with_driver(mut driver: Driver<S>, received: &[u8]) -> (Self, WebSocket<S>) {
        driver.preload(received);
        let shared = SharedState::for_server_task(driver).shared();
        (Self { shared: shared.clone() }, WebSocket::from_shared(shared, true))
    }

    /// Before the application's future is polled: until [`end_turn`](Self::end_turn), what it sends is collected.
    pub fn begin_turn(&self, cx: &Context<'_>, now: Instant) {
        lock(&self.shared).begin_turn(cx.waker(), now);
    }

    /// After the application's future was polled: does what is due at `now`, writes what was sent, and, if the
    /// application does not wait for a message, reads on its behalf, so that pings are answered and a Close is seen.
    ///
    /// `Ready`: the connection is over; [`close_info`](Self::close_info) tells how. `Pending`: the waker is
    /// registered; call again at [`poll_timeout`](Self::poll_timeout) too.
    pub fn end_turn(&self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.end_turn_with_timer(cx, now, false).over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// As [`end_turn`](Self::end_turn) and [`poll_timeout`](Self::poll_timeout) in one, for a task that may still have a
    /// timer (`armed`): while it has not fired, deadlines that can only have moved away are not looked at.
    pub fn end_turn_with_timer(&self, cx: &mut Context<'_>, now: Instant, armed: bool) -> TurnEnd {
        let mut state = lock(&self.shared);
        let receiving = state.end_application();
        state.waiting.register(cx.waker());
        if !armed {
            state.handle_timeout(now);
        }
        if receiving && state.driver().is_some() {
            if state.poll_output(cx).is_ready() {
                // The end is the application's to see, in its `recv`.
                state.waiting.wake_all();
            }
        } else {
            state.poll_background(cx, Connection::pause);
            state.notify_finished();
        }
        state.end_turn();
        let Some(driver) = state.driver() else { return TurnEnd { over: true, due: None } };
        let due = if armed && driver.is_quiet() { None } else { driver.poll_timeout() };
        TurnEnd { over: false, due }
    }

    /// For a transport that wakes nobody by itself: `f` tells it what it can do now, and whoever waits for it wakes, but
    /// for `task`, the one that is about to have its turn.
    pub fn notify_transport(&self, task: &Waker, f: impl FnOnce(&mut S)) {
        let mut state = lock(&self.shared);
        if let Some(driver) = state.driver_mut() {
            f(driver.io_mut());
        }
        state.waiting.wake_others(task);
    }

    /// When [`end_turn`](Self::end_turn) must be called if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        lock(&self.shared).driver()?.poll_timeout()
    }

    /// Begins the closing handshake; messages that still come are dropped.
    pub fn close(&self, code: CloseCode, reason: &str) {
        lock(&self.shared).queue_close(code, reason);
    }

    /// Ends the connection because the application failed.
    pub fn fail(&self, error: ConnectionError) {
        lock(&self.shared).fail(error);
    }

    /// Ends the connection at once, without a Close frame.
    pub fn abort(&self) {
        lock(&self.shared).abort();
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        lock(&self.shared).close_info().cloned()
    }
}

impl<S> Drop for ServerHalf<S> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        if state.driver().is_some() {
            // Nobody would move the bytes any more: end the transport, and tell the application.
            let error = Some(ConnectionError::Transport(ErrorKind::ConnectionAborted));
            state.on_closed(CloseInfo { received: None, sent: None, initiator: Initiator::Local, error });
        }
    }
}
