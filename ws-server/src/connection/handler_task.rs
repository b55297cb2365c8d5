//! The task of one connection that a [`Handler`] serves.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use ws_proto::{Connection, ConnectionState, Event, ReceiveBuffer, TransportAction};
use ws_tokio::internal::{
    Driver, ThreadReceiveBuffer, WriterParts, begin_turn_work, count_turn_message, guarded, yield_after_turn,
};

use crate::{
    connection::Handler,
    net::Io,
    shard::{registration::Registration, server_state::ShutdownPhase},
};

use super::{
    conn::Conn,
    handler_state::{HandlerState, Life, Pauses},
};

mod ending;
#[cfg(target_os = "linux")]
mod fast_turn;
mod pressure;
#[cfg(target_os = "linux")]
mod single_publication;
#[cfg(all(test, target_os = "linux"))]
pub(crate) use fast_turn::FAST_TURNS;

/// Most reads per turn, so that other connections get their turns.
const READS_PER_TURN: usize = 4;
/// Most writes per turn that follow one another because a completed write made the handler send more.
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
        let is_trusted = io.is_trusted();
        let mut driver = Driver::with_trust(io, connection, is_trusted);
        driver.preload(received);
        driver.connection_mut().watch_send_queue();
        Self { driver, handler, state: HandlerState::new(registration) }
    }

    /// The transport, whose readiness the reactor sets.
    #[cfg(target_os = "linux")]
    pub(crate) const fn io_mut(&mut self) -> &mut S {
        self.driver.io_mut()
    }

    /// Whether there was more to do than one turn may. Resets it.
    pub(crate) const fn take_wants_turn(&mut self) -> bool {
        std::mem::replace(&mut self.state.wants.turn, false)
    }

    /// One turn, as a task's poll function, except that it does not wake the task if it
    /// [wants another turn](Self::take_wants_turn). A panic of a callback passes through; call
    /// [`on_panic`](Self::on_panic) then.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>, rx: &mut ReceiveBuffer) -> Poll<()> {
        match self.state.registration.span() {
            None => self.turn_in_span(cx, rx),
            Some(span) => span.in_scope(|| self.turn_in_span(cx, rx)),
        }
    }

    #[inline]
    fn turn_in_span(&mut self, cx: &mut Context<'_>, rx: &mut ReceiveBuffer) -> Poll<()> {
        let tick = self.state.registration.shard().tick();
        let now = self.state.registration.shard().time_of(tick);
        begin_turn_work();
        if self.state.life == Life::New {
            self.start(cx, now);
        }
        self.empty_mailbox(now);
        self.check_deadlines(now, tick);
        self.follow_shutdown(now);
        // What happened so far may have to be written, and events may be left from the turn before.
        if !self.driver.is_quiet() && self.dispatch_and_write(cx, now, rx).is_ready() {
            return Poll::Ready(());
        }
        self.read_and_end_turn(cx, now, tick, rx, 0)
    }

    /// The part of a turn that reads, and the end of it. `reads` were made before.
    fn read_and_end_turn(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        tick: u64,
        rx: &mut ReceiveBuffer,
        mut reads: usize,
    ) -> Poll<()> {
        while reads < READS_PER_TURN
            && !self.state.wants.messages
            && self.driver.poll_read(cx, now, rx).is_ready()
        {
            reads += 1;
            if self.dispatch_and_write(cx, now, rx).is_ready() {
                return Poll::Ready(());
            }
        }
        self.state.wants.turn |= std::mem::take(&mut self.state.wants.messages)
            || reads == READS_PER_TURN
            || self.driver.connection().wants_turn();
        self.end_turn(tick);
        Poll::Pending
    }

    /// The first turn: the handler learns that the connection is open.
    #[cold]
    fn start(&mut self, cx: &Context<'_>, now: Instant) {
        self.state.life = Life::Open;
        self.call(cx, now, |handler, conn| handler.on_open(conn));
    }

    /// Takes what other tasks sent, if something is new, or if there was no room for all of it. A feed may always have
    /// something new.
    fn empty_mailbox(&mut self, now: Instant) {
        if let Some(mailbox) = &self.state.mailbox
            && (mailbox.take_woken() || self.state.wants.room_for_mailbox || mailbox.has_feed())
        {
            let (connection, tx) = self.driver.parts_mut();
            self.state.wants.room_for_mailbox = mailbox.transfer(connection, tx, now);
        }
    }

    /// While the timer is armed for a later tick, no deadline has passed.
    fn check_deadlines(&mut self, now: Instant, tick: u64) {
        if !self.state.registration.is_armed(tick) && self.driver.poll_timeout().is_some_and(|due| due <= now)
        {
            self.driver.handle_timeout(now, S::send_queue);
        }
    }

    fn follow_shutdown(&mut self, now: Instant) {
        match self.state.registration.shutdown_phase() {
            ShutdownPhase::Running => {}
            ShutdownPhase::Draining => {
                let (code, reason) = self.state.registration.shard().server.shutdown_close();
                let (connection, tx) = self.driver.parts_mut();
                connection.close(code, reason, now, tx);
            }
            ShutdownPhase::Forcing => {
                let (connection, tx) = self.driver.parts_mut();
                connection.abort(tx);
            }
        }
    }

    /// Gives all events to the handler, or as many as a turn may, and writes what it sent. `Ready`: the connection is
    /// over.
    fn dispatch_and_write(&mut self, cx: &mut Context<'_>, now: Instant, rx: &mut ReceiveBuffer) -> Poll<()> {
        loop {
            self.dispatch(cx, now, rx);
            if let Some(polled) = self.write_dispatched(cx, now) {
                return polled;
            }
        }
    }

    /// Writes what the callbacks sent. `Ready`: the connection is over. `None`: there is more to dispatch.
    #[inline]
    fn write_dispatched(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Poll<()>> {
        // Senders learn that nothing more is sent no later than the peer does.
        self.end_mailbox_unless_open();
        self.write(cx, now);
        if self.state.life == Life::Over {
            return Some(Poll::Ready(()));
        }
        if self.driver.transport_action() != TransportAction::Close || self.state.wants.messages {
            return Some(Poll::Pending);
        }
        // Nothing holds the end up any more: the messages that were held are delivered, and then the end.
        self.lift_pauses();
        None
    }

    /// Gives all events to the handler, or as many as a turn may. The others wait in the connection.
    fn dispatch(&mut self, cx: &Context<'_>, now: Instant, rx: &mut ReceiveBuffer) {
        if self.state.life == Life::Failed {
            return self.dispatch_end(cx, now, rx);
        }
        let WriterParts { connection, tx, mut writer } = self.driver.writer_parts();
        let mut conn =
            Conn { writer: &mut writer, connection, tx, state: &mut self.state, now, waker: cx.waker() };
        loop {
            while let Some(message) = conn.connection.poll_message(rx, conn.tx) {
                self.handler.on_message(&mut conn, message);
                if count_turn_message() {
                    return conn.end_messages(rx);
                }
            }
            let Some(event) = conn.connection.poll_event(rx, conn.tx) else { return };
            match event {
                Event::Message(message) => self.handler.on_message(&mut conn, message),
                Event::Ping(payload) => self.handler.on_ping(&mut conn, payload),
                Event::Pong(payload) => {
                    conn.state.on_pong(payload);
                    self.handler.on_pong(&mut conn, payload);
                }
                Event::Closed(info) => return self.report_end(cx, now, &info),
                _ => {}
            }
            if count_turn_message() {
                return conn.end_messages(rx);
            }
        }
    }

    /// Writes what the callbacks sent. A completed write calls the handler, which may send more.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        for write in 1.. {
            let blocked = self.driver.poll_write(cx, now).is_pending();
            let called = self.report_completions(cx, now) | self.report_room(cx, now);
            if blocked {
                self.on_blocked();
                break;
            }
            if !called {
                self.on_all_written();
                break;
            }
            if write == WRITES_PER_TURN {
                self.state.wants.turn = true;
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
        if !self.state.wants.room || !self.driver.has_room() || !self.has_room_behind_feed() {
            return false;
        }
        self.state.wants.room = false;
        self.call(cx, now, |handler, conn| handler.on_writable(conn));
        true
    }

    fn has_room_behind_feed(&mut self) -> bool {
        let (connection, tx) = self.driver.parts_mut();
        self.state.mailbox_with_feed().is_none_or(|mailbox| mailbox.has_room_behind_feed(connection, tx))
    }

    /// The peer does not take all of what is written.
    fn on_blocked(&mut self) {
        self.state.wants.turn |= self.driver.wants_write_turn();
        if !self.state.registration.shard().server.options.read_while_blocked {
            self.state.pauses.by_blocked_write = true;
            self.driver.connection_mut().pause();
        }
    }

    /// Nothing waits to be written. Messages that were held, and what is left in the mailbox, come in another turn.
    fn on_all_written(&mut self) {
        let was_paused = std::mem::take(&mut self.state.pauses.by_blocked_write);
        if was_paused && !self.state.pauses.by_handler {
            self.driver.connection_mut().resume();
        }
        if was_paused || self.state.wants.room_for_mailbox {
            self.state.wants.turn = true;
        }
    }

    fn lift_pauses(&mut self) {
        self.state.pauses = Pauses::default();
        self.driver.connection_mut().resume();
    }

    /// Gives the transmit queue back if it is empty, and arms the timer.
    fn end_turn(&mut self, tick: u64) {
        self.end_mailbox_unless_open();
        self.driver.end_turn(Some(self.state.counters()));
        if self.driver.is_blocked() || self.state.is_pressed() {
            self.follow_pressure();
        }
        let is_quiet = self.driver.is_quiet();
        if !is_quiet || !self.state.registration.is_armed(tick) {
            self.state.registration.arm(self.driver.poll_timeout(), is_quiet, tick);
        }
    }

    fn call(&mut self, cx: &Context<'_>, now: Instant, f: impl FnOnce(&mut H, &mut Conn<'_>)) {
        let WriterParts { connection, tx, mut writer } = self.driver.writer_parts();
        let mut conn =
            Conn { writer: &mut writer, connection, tx, state: &mut self.state, now, waker: cx.waker() };
        f(&mut self.handler, &mut conn);
    }
}

/// The handler is never pinned.
impl<H: Handler, S: Io> Unpin for HandlerTask<H, S> {}

impl<H: Handler, S: Io> Future for HandlerTask<H, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.state.life == Life::New {
            this.state.registration.set_waker(cx.waker());
        }
        let turn = guarded(|| this.turn(cx, &mut ThreadReceiveBuffer::take()));
        let polled = turn.unwrap_or_else(|_panicked| {
            this.state.wants.turn = true;
            this.on_panic()
        });
        if polled.is_pending() && this.take_wants_turn() {
            yield_after_turn(cx);
        }
        polled
    }
}

impl<H, S> Drop for HandlerTask<H, S> {
    fn drop(&mut self) {
        if let Some(mailbox) = &self.state.mailbox {
            mailbox.end(ConnectionState::Closed);
        }
        self.driver.abort(Some(self.state.counters()));
    }
}
