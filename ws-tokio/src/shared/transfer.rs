//! The steps of a poll: one write, one read, one check of the timer.

use std::{
    future::Future as _,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop::unconstrained,
    time::Sleep,
};
use ws_proto::{Connection, ConnectionState, Event, TransportAction};

use super::{
    mode::{Mode, ServerTask, Turn},
    rare::{holds_control, on_pong},
    state::SharedState,
};
use crate::{
    driver::Driver,
    thread_buffers::{ThreadReceiveBuffer, trim_thread_pool},
    time::{now, yield_turn},
};

/// Reads per turn of a server's task. Then the task yields.
pub(super) const READS_PER_TURN: u8 = 4;
/// Writes per turn of a server's task for an application that waits for room in the write queue.
const WRITES_PER_TURN: u8 = 4;

/// What a task that moves bytes waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Everything queued is written. What waits in the feed may be written behind it.
    Written,
    /// The write queue has become shorter, so that the owner may have room. The feed must not take that room.
    Room,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Writes what is queued and, unless the task waits for room, what waits in the feed. `Ready`: what was queued is
    /// written.
    pub(super) fn poll_written(&mut self, cx: &mut Context<'_>, until: Until) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        let mut io_cx = Context::from_waker(self.waiting.transport());
        if let Mode::ServerTask(ServerTask { turn: Turn::Application, writes, .. }) = &mut self.mode {
            // A turn must end even if the peer reads as fast as the application sends.
            *writes = writes.saturating_add(1);
            if *writes > WRITES_PER_TURN {
                yield_turn(&mut io_cx);
                return Poll::Pending;
            }
        }
        let written = match until {
            Until::Written => self.write_out().result,
            Until::Room => write(driver, &mut io_cx, self.now),
        };
        self.end_step();
        self.notify_send_end(cx.waker());
        written
    }

    /// Writes, except in the application's part of a turn, and shuts down the write half once the state machine asks
    /// for it. `Ready`: the transport is finished.
    #[inline]
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.driver.is_none() {
            return Poll::Ready(());
        }
        if self.is_application_turn() {
            return Poll::Pending;
        }
        self.poll_output_outside_application(cx)
    }

    fn poll_output_outside_application(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.has_waker_of(cx) {
            return Poll::Pending;
        }
        self.refresh_now();
        self.move_output(cx)
    }

    /// The part of [`poll_output`](Self::poll_output) for a task that may write now, and is registered.
    #[inline]
    pub(super) fn move_output(&mut self, cx: &Context<'_>) -> Poll<()> {
        let written = self.write_out();
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        driver.poll_shut_down(&mut Context::from_waker(self.waiting.transport()));
        if written.made_room {
            // The owner may wait for room.
            self.waiting.wake_others(cx.waker());
        }
        self.promise_room();
        self.notify_send_end(cx.waker());
        if self.is_finished() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Writes, reads and checks the timer, once. `Ready`: there may be new events.
    #[inline]
    pub(super) fn poll_progress(&mut self, cx: &mut Context<'_>, rx: &mut ThreadReceiveBuffer) -> Poll<()> {
        if self.poll_output(cx).is_ready() {
            return Poll::Ready(());
        }
        // `poll_output` has checked it, except in the application's part of a turn.
        let is_missing = if self.is_application_turn() { !self.has_waker_of(cx) } else { self.waker_missing };
        if is_missing {
            return Poll::Pending;
        }
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        let mut io_cx = Context::from_waker(self.waiting.transport());
        if let Mode::ServerTask(ServerTask { turn: Turn::Application | Turn::Transport, reads, .. }) =
            &mut self.mode
        {
            *reads = reads.saturating_add(1);
            if *reads > READS_PER_TURN {
                yield_turn(&mut io_cx);
                return Poll::Pending;
            }
        }
        let read = driver.poll_read(&mut io_cx, self.now, rx);
        if read.is_pending() && driver.connection().wants_turn() {
            yield_turn(&mut io_cx);
        }
        self.end_step();
        if read.is_ready() { read } else { self.poll_timer() }
    }

    /// Polls the connection's own timer, unless a server's task watches the deadlines. `Ready`: a deadline was handled.
    pub(super) fn poll_timer(&mut self) -> Poll<()> {
        let Mode::Inline { timer, .. } = &mut self.mode else { return Poll::Pending };
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        loop {
            let Some(due) = driver.poll_timeout() else { return Poll::Pending };
            if timer.as_ref().is_some_and(|timer| is_early_enough(timer, due)) {
                return Poll::Pending;
            }
            if due <= now() {
                driver.handle_timeout(now(), self.read_send_queue);
                // Without a server no other code trims the pool, and deadlines pass now and then.
                trim_thread_pool();
                return Poll::Ready(());
            }
            let due = tokio::time::Instant::from_std(due);
            let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            sleep.as_mut().reset(due);
            // The future that polled last may be dropped, so the timer wakes all tasks. It gets its waker even if the
            // task's cooperative budget is used up, because it is not polled again before it fires.
            let mut timer_cx = Context::from_waker(self.waiting.transport());
            if pin!(unconstrained(sleep)).poll(&mut timer_cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Returns whether a deadline is earlier than the connection's timer.
    pub(super) fn deadline_precedes_timer(&self) -> bool {
        let Mode::Inline { timer, .. } = &self.mode else { return false };
        let Some(due) = self.driver.as_ref().and_then(Driver::poll_timeout) else { return false };
        timer.as_ref().is_none_or(|timer| timer.deadline().into_std() > due)
    }

    /// Parses the rest of a read. Its messages are held, with control frames if the application receives them; `pause`
    /// says how.
    pub(super) fn hold_received(&mut self, rx: &mut ThreadReceiveBuffer, pause: fn(&mut Connection)) {
        let Some(driver) = &mut self.driver else { return };
        let mut closed = None;
        let pause = if self.owner_dropped { Connection::resume } else { pause };
        pause(driver.connection_mut());
        if rx.is_empty() && driver.connection().is_settled() {
            return;
        }
        while let Some(event) = driver.poll_event(rx) {
            match event {
                Event::Ping(payload) if holds_control(&self.rare, driver.connection()) => {
                    driver.connection_mut().hold_ping(payload);
                }
                Event::Pong(payload) => {
                    if holds_control(&self.rare, driver.connection()) {
                        driver.connection_mut().hold_pong(payload);
                    }
                    on_pong(&mut self.rare, &mut self.waiting, payload);
                }
                Event::Closed(info) => closed = Some(info),
                _ => {}
            }
        }
        if let Some(info) = closed {
            self.on_closed(info);
        }
    }

    /// Writes replies to control frames now: the application may take long until its next `recv`.
    pub(super) fn write_replies(&mut self) {
        if self.queued() > 0 {
            self.refresh_now();
        }
        if !self.has_server_task()
            && let Some(driver) = &mut self.driver
        {
            let _ = write(driver, &mut Context::from_waker(self.waiting.transport()), self.now);
        }
        self.end_step();
        self.promise_room();
    }

    /// Wakes the tasks that wait for room, once, when the connection is no longer open.
    pub(super) fn notify_send_end(&mut self, current: &Waker) {
        if !self.send_end_notified && self.state() != ConnectionState::Open {
            self.send_end_notified = true;
            self.waiting.wake_others(current);
            self.end_pings();
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.driver.as_ref().is_none_or(|driver| driver.transport_action() == TransportAction::Close)
    }

    pub(super) fn queued(&self) -> usize {
        self.driver.as_ref().map_or(0, Driver::queued)
    }
}

/// A deadline usually moves to a later time. So an earlier timer, which has its waker, is kept until it fires.
fn is_early_enough(timer: &Pin<Box<Sleep>>, due: Instant) -> bool {
    timer.deadline().into_std() <= due && !timer.is_elapsed()
}

/// Writes, as [`Driver::poll_write`] does, and schedules another poll if the driver wants one.
pub(super) fn write<S: AsyncRead + AsyncWrite + Unpin>(
    driver: &mut Driver<S>,
    cx: &mut Context<'_>,
    now: Instant,
) -> Poll<()> {
    let written = driver.poll_write(cx, now);
    if written.is_pending() && driver.wants_write_turn() {
        yield_turn(cx);
    }
    written
}

/// Pauses the connection unless it is paused or on hold. So an end that waits for the reply to the latest message
/// continues to wait.
pub(super) fn ensure_paused(connection: &mut Connection) {
    if !connection.is_paused() {
        connection.pause();
    }
}
