//! Receives the next message or event, and reads while the application does not receive.

use std::task::{Context, Poll, ready};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop::poll_proceed,
};
use ws_proto::{Connection, Event as Parsed, Message, TransportAction};

use super::{
    lent_run::LentRun,
    mode::Mode,
    rare::on_pong,
    received::Received,
    state::SharedState,
    transfer::{READS_PER_TURN, ensure_paused, write},
    turn,
};
use crate::{
    driver::Driver,
    event::Event,
    thread_buffers::{ThreadReceiveBuffer, trim_thread_pool},
    time::yield_turn,
    turn_work::{count_work, is_check_due, is_turn_long, reset_work, was_turn_long, yield_after_turn},
};

/// Steps of one poll without a message, such as reads of pings, before the task yields. Custom transports do not take
/// part in tokio's cooperative budget.
const STEPS_PER_POLL: usize = 128;
/// What 64 messages count in tokio's cooperative budget: tokio gives a task 128 units per poll.
const UNITS_PER_CHECK: usize = 4;

impl<S> SharedState<S> {
    /// Takes a message that an earlier read has brought, as [`poll_recv`](Self::poll_recv) does. `None`: call that.
    #[inline]
    pub(crate) fn take_held(&mut self) -> Option<Message> {
        if is_check_due() {
            return None;
        }
        let message = self.driver.as_mut()?.connection_mut().take_next_held()?;
        count_work(1);
        self.has_received = true;
        self.set_receiving(false);
        Some(message)
    }

    /// Takes a message that an earlier read has brought, as [`poll_recv_event`](Self::poll_recv_event) does. `None`:
    /// call that.
    #[inline]
    pub(crate) fn take_held_as_event(&mut self) -> Option<Message> {
        let wants_events = self.rare.as_ref().is_some_and(|rare| rare.wants_events);
        if wants_events { self.take_held() } else { None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Takes the next message. `None` once the connection is over.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_received(cx)
    }

    /// Takes the next messages, to lend them one after the other. `None` once the connection is over.
    pub(crate) fn poll_recv_run(&mut self, cx: &mut Context<'_>) -> Poll<Option<LentRun>> {
        if let Some(received) = self.poll_recv_fast(cx, &mut None) {
            return received;
        }
        self.poll_received(cx)
    }

    /// Takes the next message or control frame. `None` once the connection is over.
    pub(crate) fn poll_recv_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.rare().wants_events = true;
        let next = self.poll_received(cx);
        if next.is_ready() && !self.is_application_turn() {
            count_work(1);
        }
        next
    }

    fn poll_received<R: Received>(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        self.has_received = true;
        ready!(self.poll_turn_budget(cx));
        let next = self.poll_next(cx);
        self.finish_received(cx, next)
    }

    /// Continues with what was read, after a read of this poll.
    #[inline(never)]
    pub(super) fn poll_parsed<R: Received>(
        &mut self,
        cx: &mut Context<'_>,
        rx: ThreadReceiveBuffer,
    ) -> Poll<Option<R>> {
        let next = self.poll_events(cx, rx, false);
        self.finish_received(cx, next)
    }

    fn finish_received<R>(&mut self, cx: &mut Context<'_>, next: Poll<Option<R>>) -> Poll<Option<R>> {
        if next.is_ready() && self.is_application_turn() {
            count_work(1);
        }
        self.set_receiving(next.is_pending());
        if next.is_pending() && self.has_server_task() {
            self.end_turn_early(cx);
        }
        next
    }

    /// The application waits for the next message. In the turn of its own task, all that is usually left to do is to
    /// write what it has sent. So this is done here, which saves the end of the turn a lock.
    pub(super) fn end_turn_early(&mut self, cx: &mut Context<'_>) {
        if self.waker_missing || !turn::is_entered(self, cx.waker()) {
            return;
        }
        self.end_application();
        if self.move_output(cx).is_ready() {
            return;
        }
        self.end_turn();
        if self.driver.as_ref().is_some_and(Driver::is_quiet) && !self.is_pressed() {
            turn::set_done();
        }
    }

    /// `Pending`: the turn of the server's task has been long, and the task waits for the next one. Or another task has
    /// received many messages, and is polled again after others have run.
    #[inline]
    pub(crate) fn poll_turn_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_application_turn() {
            return if is_check_due() { self.poll_coop_budget(cx) } else { Poll::Ready(()) };
        }
        // If the waker was just added, this is the same poll as before.
        let is_long = || (is_check_due() && is_turn_long()) || (self.waker_added && was_turn_long());
        if is_long() { self.poll_next_turn(cx) } else { Poll::Ready(()) }
    }

    /// Outside of a server's turn, counts messages that an earlier read has brought against tokio's cooperative budget,
    /// which counts reads and not the messages in them. `Pending`: it is used up, and other tasks run first.
    #[cold]
    fn poll_coop_budget(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.driver.as_ref().is_none_or(|driver| driver.connection().held_bytes() == 0) {
            reset_work();
            return Poll::Ready(());
        }
        if !self.has_waker_of(cx) {
            return Poll::Pending;
        }
        reset_work();
        let mut io_cx = Context::from_waker(self.waiting.transport());
        for _ in 0..UNITS_PER_CHECK {
            ready!(poll_proceed(&mut io_cx)).made_progress();
        }
        Poll::Ready(())
    }

    /// Waits for the next turn.
    #[cold]
    fn poll_next_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Mode::ServerTask(task) = &mut self.mode else { return Poll::Pending };
        task.is_receiving = true;
        // A reactor looks for events after each turn.
        let is_task = task.reactor.is_none();
        if self.has_waker_of(cx) {
            let mut io_cx = Context::from_waker(self.waiting.transport());
            if is_task { yield_after_turn(&mut io_cx) } else { yield_turn(&mut io_cx) }
        }
        Poll::Pending
    }

    fn poll_next<R: Received>(&mut self, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(R::take_close(self)) };
        let connection = driver.connection_mut();
        // Also records whether reading had stopped at `max_held_bytes`, for the deadlines.
        connection.resume();
        if let Some(held) = R::take_held(connection) {
            // It came with an earlier read: there is nothing else to check.
            connection.hold();
            return Poll::Ready(Some(held));
        }
        // With no message held and none incomplete, there is no event before the next read.
        let nothing_new = driver.connection().is_settled();
        self.poll_events(cx, ThreadReceiveBuffer::take(), nothing_new)
    }

    /// Takes the next event, and reads until there is one. `nothing_new`: there is none before the next read.
    fn poll_events<R: Received>(
        &mut self,
        cx: &mut Context<'_>,
        mut rx: ThreadReceiveBuffer,
        mut nothing_new: bool,
    ) -> Poll<Option<R>> {
        for step in 0.. {
            let Some(driver) = &mut self.driver else { return Poll::Ready(R::take_close(self)) };
            if R::TAKES_RUNS && rx.is_half_filled() {
                self.hold_received(&mut rx, Connection::hold);
                let Some(driver) = &mut self.driver else { return Poll::Ready(R::take_close(self)) };
                if let Some(held) = R::take_held(driver.connection_mut()) {
                    self.write_replies();
                    return Poll::Ready(Some(held));
                }
                driver.connection_mut().resume();
                continue;
            }
            while !nothing_new && let Some(event) = driver.poll_event(&mut rx) {
                match event {
                    Parsed::Closed(info) => {
                        self.on_closed(info);
                        return Poll::Ready(R::take_close(self));
                    }
                    Parsed::Pong(payload) => on_pong(&mut self.rare, &mut self.waiting, payload),
                    _ => {}
                }
                if let Some(received) = R::from_parsed(event) {
                    self.hold_received(&mut rx, Connection::hold);
                    self.write_replies();
                    return Poll::Ready(Some(received));
                }
            }
            if let Some(close) = R::take_close(self) {
                self.write_replies();
                return Poll::Ready(Some(close));
            }
            if step >= STEPS_PER_POLL {
                self.waiting.wake_all();
                break;
            }
            if self.poll_progress(cx, &mut rx).is_pending() {
                break;
            }
            nothing_new = false;
        }
        Poll::Pending
    }

    /// Moves bytes while the application does not receive. Messages are held; `pause` says how.
    pub(crate) fn poll_background(&mut self, cx: &mut Context<'_>, pause: fn(&mut Connection)) {
        let mut rx = ThreadReceiveBuffer::take();
        for step in 0.. {
            self.hold_received(&mut rx, pause);
            let Some(driver) = &self.driver else { return };
            // The end is not reported until the application has taken the messages before it.
            if driver.transport_action() == TransportAction::Close {
                self.promise_room();
                return;
            }
            if step == STEPS_PER_POLL {
                return self.waiting.wake_all();
            }
            if self.poll_progress(cx, &mut rx).is_pending() {
                return;
            }
        }
    }

    /// Completes the closing handshake while messages are held for `recv`. `Ready`: the transport is finished.
    pub(crate) fn poll_closing_handshake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_background(cx, ensure_paused);
        let is_finished = self.is_finished();
        self.set_receiving(!is_finished);
        if is_finished { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Reads what has arrived and handles deadlines, so that a task that only sends answers pings, sees the peer's
    /// Close and watches the deadlines. Messages are held, up to `max_held_bytes`. A transport that knows that nothing
    /// has arrived, as tokio's sockets do, makes no system call. Does nothing under a server's task, which reads by
    /// itself.
    pub(crate) fn receive_pending(&mut self, cx: &Context<'_>) {
        if self.takes_received() || self.has_server_task() {
            return;
        }
        if !self.read_available() && !self.handle_due_timeout() {
            return;
        }
        if let Some(driver) = &mut self.driver {
            let mut io_cx = Context::from_waker(self.waiting.transport());
            // Replies to pings or to a Close.
            let _ = write(driver, &mut io_cx, self.now);
            driver.poll_shut_down(&mut io_cx);
        }
        self.end_step();
        self.notify_send_end(cx.waker());
        // Another task may wait for the messages in `recv`.
        self.waiting.wake_others(cx.waker());
    }

    /// Whether `recv` was polled, or has taken a message of a run, since the last call.
    fn takes_received(&mut self) -> bool {
        let driver = self.driver.as_mut();
        let has_read_run = driver.is_some_and(|driver| driver.connection_mut().take_run_read());
        std::mem::take(&mut self.has_received) | has_read_run
    }

    /// Reads until nothing is left, a few times at most. Returns whether there was something.
    fn read_available(&mut self) -> bool {
        let mut rx = ThreadReceiveBuffer::take();
        for read in 0..READS_PER_TURN {
            let Some(driver) = &mut self.driver else { return read > 0 };
            let mut io_cx = Context::from_waker(self.waiting.transport());
            let has_set_aside = driver.connection().wants_turn();
            if !has_set_aside && driver.poll_read(&mut io_cx, self.now, &mut rx).is_pending() {
                return read > 0;
            }
            self.hold_received(&mut rx, ensure_paused);
        }
        true
    }

    /// Handles the deadlines that have passed. Returns whether there were any.
    fn handle_due_timeout(&mut self) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        if driver.poll_timeout().is_none_or(|due| due > self.now) {
            return false;
        }
        driver.handle_timeout(self.now, self.read_send_queue);
        trim_thread_pool();
        self.hold_received(&mut ThreadReceiveBuffer::take(), ensure_paused);
        true
    }
}
