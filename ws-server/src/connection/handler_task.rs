//! The task of one connection that a [`Handler`] serves.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use ws_proto::{CloseCode, Connection, ConnectionError, ConnectionState, Event, ReceiveBuffer, Transport};
use ws_tokio::{Driver, ReceiveLease, guarded, yield_turn};

use crate::{
    connection::{Handler, conn::Conn, handler_state::HandlerState},
    net::Io,
    shard::{registration::Registration, server_state::ShutdownPhase},
};

/// Reads per turn; then others have theirs.
const READS_PER_TURN: usize = 4;
/// Times per turn that completions may make a handler send more.
const WRITES_PER_TURN: usize = 4;

pub(crate) struct HandlerTask<H, S> {
    driver: Driver<S>,
    handler: H,
    state: HandlerState,
}

impl<H: Handler, S: Io> HandlerTask<H, S> {
    pub(crate) fn new(
        handler: H,
        io: S,
        connection: Connection,
        received: &[u8],
        registration: Registration,
    ) -> Self {
        let mut driver = Driver::trusting(io, connection);
        driver.preload(received);
        driver.connection_mut().watch_send_queue();
        Self { driver, handler, state: HandlerState::new(registration) }
    }

    /// The transport, to tell it what is known of it.
    #[cfg(target_os = "linux")]
    pub(crate) const fn io_mut(&mut self) -> &mut S {
        self.driver.io_mut()
    }

    /// Whether the turn that is over was not enough; asked once.
    pub(crate) const fn wants_another_turn(&mut self) -> bool {
        std::mem::replace(&mut self.state.again, false)
    }

    /// One turn, as a task's poll function, except that it wakes nobody for
    /// [another one](Self::wants_another_turn). A panic of a callback ends the connection with 1011; the thread lives.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>, rx: &mut ReceiveLease) -> Poll<()> {
        // The state machine is consistent between callbacks, and the handler is only asked to hear of the end.
        if let Ok(poll) = guarded(|| self.turn(cx, rx)) {
            return poll;
        }
        if self.state.over {
            return Poll::Ready(());
        }
        tracing::error!("a handler panicked; its connection is closed with 1011");
        self.on_panic();
        self.state.again = true;
        Poll::Pending
    }

    fn turn(&mut self, cx: &mut Context<'_>, rx: &mut ReceiveBuffer) -> Poll<()> {
        let tick = self.state.registration.shard().tick();
        let now = self.state.registration.shard().time_of(tick);
        self.begin(cx, now, tick);
        let mut quiet = self.driver.is_quiet();
        for read in 0.. {
            if !quiet {
                self.dispatch(cx, now, rx);
                self.tell_senders();
                self.write(cx, now);
                if self.state.over {
                    return Poll::Ready(());
                }
                if self.driver.transport() == Transport::Finished {
                    self.lift_pauses();
                    continue;
                }
            }
            quiet = false;
            if read >= READS_PER_TURN {
                self.state.again = true;
                break;
            }
            if self.driver.poll_read(cx, now, rx).is_pending() {
                self.state.again |= self.driver.connection().wants_turn();
                break;
            }
        }
        self.tell_senders();
        self.driver.end_turn();
        if !self.driver.is_quiet() || !self.state.registration.is_armed(tick) {
            self.state.registration.arm(self.driver.poll_timeout(), tick);
        }
        Poll::Pending
    }

    /// What is due before anything is read.
    fn begin(&mut self, cx: &Context<'_>, now: Instant, tick: u64) {
        if !self.state.opened {
            self.state.opened = true;
            self.call(cx, now, |handler, conn| handler.on_open(conn));
        }
        if let Some(mailbox) = &self.state.mailbox
            && (mailbox.take_call() || self.state.mail_waits)
        {
            let (connection, tx) = self.driver.parts_mut();
            self.state.mail_waits = mailbox.deliver(connection, tx, now);
        }
        if !self.state.registration.is_armed(tick) && self.driver.poll_timeout().is_some_and(|due| due <= now)
        {
            self.driver.handle_timeout(now, S::send_queue);
        }
        match self.state.registration.shard().server.phase() {
            ShutdownPhase::Running => {}
            ShutdownPhase::Draining => {
                let (connection, tx) = self.driver.parts_mut();
                connection.close(CloseCode::GOING_AWAY, "", now, tx);
            }
            ShutdownPhase::Forcing => {
                let (connection, tx) = self.driver.parts_mut();
                connection.abort(tx);
            }
        }
    }

    /// Hands every event to the handler.
    fn dispatch(&mut self, cx: &Context<'_>, now: Instant, rx: &mut ReceiveBuffer) {
        loop {
            let (connection, tx, mut writer) = self.driver.writer_parts();
            let Some(event) = connection.poll_event(rx, tx) else { return };
            let mut conn =
                Conn { writer: &mut writer, connection, tx, state: &mut self.state, now, waker: cx.waker() };
            match event {
                // Only the end is left to be told.
                Event::Message(_) | Event::Ping(_) | Event::Pong(_) if conn.state.failed => {}
                Event::Message(message) => self.handler.on_message(&mut conn, message),
                Event::Ping(payload) => self.handler.on_ping(&mut conn, payload),
                Event::Pong(payload) => self.handler.on_pong(&mut conn, payload),
                Event::Closed(info) => {
                    conn.state.over = true;
                    conn.state.registration.shard().server.count_end(Some(&info));
                    if let Some(mailbox) = &conn.state.mailbox {
                        mailbox.shut(ConnectionState::Closed);
                    }
                    self.handler.on_close(&mut conn, &info);
                }
                _ => {}
            }
        }
    }

    /// Senders learn that nothing more is sent no later than the peer does.
    fn tell_senders(&self) {
        let Some(mailbox) = &self.state.mailbox else { return };
        let state = self.driver.connection().state();
        if state != ConnectionState::Open {
            mailbox.shut(state);
        }
    }

    /// Writes what the callbacks sent; completions may make them send more.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        for write in 1.. {
            let blocked = self.driver.poll_write(cx, now).is_pending();
            let completed = self.report_completions(cx, now) | self.report_room(cx, now);
            if blocked {
                self.state.again |= self.driver.wants_write_turn();
                if !self.state.registration.shard().server.options.read_while_blocked {
                    self.state.held_back = true;
                    self.driver.parts_mut().0.pause();
                }
                break;
            }
            if !completed {
                self.on_drained();
                break;
            }
            if write == WRITES_PER_TURN {
                // A peer that reads as fast as the handler sends must not make the turn endless.
                self.state.again = true;
                break;
            }
        }
        self.driver.poll_shut_down(cx);
    }

    fn report_completions(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        let mut any = false;
        loop {
            let (connection, tx) = self.driver.parts_mut();
            let Some(completion) = connection.poll_completion(tx) else { return any };
            any = true;
            self.call(cx, now, |handler, conn| handler.on_write_complete(conn, completion));
        }
    }

    fn report_room(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        if !self.state.refused || !self.driver.has_room() {
            return false;
        }
        self.state.refused = false;
        self.call(cx, now, |handler, conn| handler.on_writable(conn));
        true
    }

    /// Nothing waits any more: messages flow again.
    fn on_drained(&mut self) {
        let was_held_back = std::mem::take(&mut self.state.held_back);
        if was_held_back && !self.state.paused {
            self.driver.parts_mut().0.resume();
        }
        // Held messages, and mail that did not fit, are looked at in another turn.
        if was_held_back || self.state.mail_waits {
            self.state.again = true;
        }
    }

    /// Nothing holds the end up any more: what was held is delivered, then the end.
    fn lift_pauses(&mut self) {
        self.state.paused = false;
        self.state.held_back = false;
        self.driver.parts_mut().0.resume();
    }

    fn call(&mut self, cx: &Context<'_>, now: Instant, f: impl FnOnce(&mut H, &mut Conn<'_>)) {
        let (connection, tx, mut writer) = self.driver.writer_parts();
        let mut conn =
            Conn { writer: &mut writer, connection, tx, state: &mut self.state, now, waker: cx.waker() };
        f(&mut self.handler, &mut conn);
    }

    /// A callback panicked: the connection ends with 1011, the shard lives.
    fn on_panic(&mut self) {
        let now = self.state.registration.shard().now();
        let (connection, tx) = self.driver.parts_mut();
        connection.fail(ConnectionError::Internal, now, tx);
        self.state.failed = true;
        self.lift_pauses();
    }
}

impl<H: Handler + Unpin, S: Io> Future for HandlerTask<H, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.state.opened {
            self.state.registration.set_waker(cx.waker());
        }
        let poll = self.poll_turn(cx, &mut ReceiveLease::take());
        if self.wants_another_turn() {
            yield_turn(cx);
        }
        poll
    }
}

impl<H, S> Drop for HandlerTask<H, S> {
    fn drop(&mut self) {
        if let Some(mailbox) = &self.state.mailbox {
            mailbox.shut(ConnectionState::Closed);
        }
        self.driver.give_up();
        if !self.state.over {
            self.state.registration.shard().server.count_end(None);
        }
    }
}
