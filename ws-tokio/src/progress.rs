//! What polling a handle does: bytes move, deadlines are watched, events are looked for.

use std::{
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Connection, ConnectionState, Event, Message, Transport};

use crate::{
    core::{Core, Mode, Turn, now},
    driver::Driver,
    outgoing::stay_paused,
    scratch::{ReceiveLease, trim_thread_pool},
    turns::yield_turn,
};

/// Reads per turn of a server's task; then other connections have theirs.
pub(crate) const READS_PER_TURN: u8 = 4;
/// Times per turn that a full write queue is emptied for an application that waits for room in it.
const WRITES_PER_TURN: u8 = 4;
/// Steps of one poll that give nothing to whoever polls, such as reads of pings alone. Then others have their turn, for not
/// every transport says so itself, as tokio's do.
const STEPS_PER_POLL: usize = 128;

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    /// The next message; `None` once the connection is over.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.has_received = true;
        let next = self.poll_next_message(cx);
        if let Mode::Served { receiving, .. } = &mut self.mode {
            *receiving = next.is_pending();
        }
        next
    }

    fn poll_next_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(None) };
        let connection = driver.connection_mut();
        // Takes note if nothing could be read meanwhile.
        connection.resume();
        if let Some(message) = connection.take_held() {
            // One of those that came with the last read: nothing else needs to be looked at.
            connection.hold();
            return Poll::Ready(Some(message));
        }
        let mut rx = ReceiveLease::take();
        // With nothing held and nothing under way there is nothing to be found before something is read.
        let mut nothing_new = driver.connection().is_settled();
        for step in 0.. {
            let Some(driver) = &mut self.driver else { return Poll::Ready(None) };
            driver.connection_mut().resume();
            while !nothing_new && let Some(event) = driver.poll_event(&mut rx) {
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
            if step == STEPS_PER_POLL {
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

    /// Moves bytes while nobody asks for messages: those that come are held, as `how` says.
    pub(crate) fn poll_background(&mut self, cx: &mut Context<'_>, how: fn(&mut Connection)) {
        let mut rx = ReceiveLease::take();
        for step in 0.. {
            self.hold_rest(&mut rx, how);
            let Some(driver) = &self.driver else { return };
            // Finished, and yet not reported: the application has not taken the messages that came before the end.
            if driver.transport() == Transport::Finished {
                self.let_senders_in();
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

    /// Waits until everything queued is written, or the connection is over.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let flushed = self.poll_flush_or_room(cx, false);
        self.let_senders_in();
        flushed
    }

    /// As [`poll_flush`](Self::poll_flush). An owner that waits for `room` tries again as soon as there is some, before
    /// senders are let in.
    pub(crate) fn poll_flush_or_room(&mut self, cx: &mut Context<'_>, room: bool) -> Poll<()> {
        if self.driver.is_none() {
            return Poll::Ready(());
        }
        if !self.is_known(cx) {
            return Poll::Pending;
        }
        self.refresh_now();
        let before = self.queued();
        if self.poll_written(cx).is_ready() || (room && self.queued() < before) {
            self.look(cx);
            return Poll::Ready(());
        }
        if matches!(self.mode, Mode::Inline { .. }) {
            // The peer may take nothing because it waits itself, for its pings to be answered or its data to be
            // read; and deadlines pass.
            self.poll_background(cx, stay_paused);
            return self.poll_written(cx);
        }
        Poll::Pending
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        let mut io_cx = Context::from_waker(&self.waker);
        if let Mode::Served { turn: Turn::Application, writes, .. } = &mut self.mode {
            // A peer that reads as fast as the application sends must not make the turn endless.
            *writes = writes.saturating_add(1);
            if *writes > WRITES_PER_TURN {
                yield_turn(&mut io_cx);
                return Poll::Pending;
            }
        }
        let written = write(driver, &mut io_cx, self.now);
        driver.end_turn();
        self.tell_of_end(cx.waker());
        written
    }

    /// Sees that what another task has queued goes out: by the server's task, which was woken, or at once.
    pub(crate) fn kick(&mut self) {
        if !matches!(self.mode, Mode::Inline { .. }) {
            return;
        }
        self.refresh_now();
        let Some(driver) = &mut self.driver else { return };
        let _ = write(driver, &mut Context::from_waker(&self.waker), self.now);
        driver.end_turn();
        self.let_senders_in();
        self.tell_of_end(Waker::noop());
        if self.timer_is_late() || self.is_finished() {
            self.waiting.wake_all();
        }
    }

    /// Writes, unless the turn's end will, and shuts down as the machine asks. `Ready`: the transport is finished.
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.driver.is_none() {
            return Poll::Ready(());
        }
        if matches!(self.mode, Mode::Served { turn: Turn::Application, .. }) || !self.is_known(cx) {
            return Poll::Pending;
        }
        self.refresh_now();
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        let mut io_cx = Context::from_waker(&self.waker);
        let queued = driver.queued();
        let _ = write(driver, &mut io_cx, self.now);
        driver.poll_shut_down(&mut io_cx);
        if driver.queued() < queued {
            // The owner may wait for room.
            self.waiting.wake_others(cx.waker());
        }
        self.let_senders_in();
        self.tell_of_end(cx.waker());
        if self.is_finished() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Writes, reads and watches the clock, once. `Ready`: look for events again.
    fn poll_progress(&mut self, cx: &mut Context<'_>, rx: &mut ReceiveLease) -> Poll<()> {
        if self.poll_output(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.driver.is_none() {
            return Poll::Ready(());
        }
        if !self.is_known(cx) {
            return Poll::Pending;
        }
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        let mut io_cx = Context::from_waker(&self.waker);
        if let Mode::Served { turn: Turn::Application | Turn::Transport, reads, .. } = &mut self.mode {
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
        driver.end_turn();
        if read.is_ready() { read } else { self.poll_timer() }
    }

    /// The connection's own timer, where there is no server's task. `Ready`: something was due.
    fn poll_timer(&mut self) -> Poll<()> {
        let Mode::Inline { timer } = &mut self.mode else { return Poll::Pending };
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        loop {
            let Some(due) = driver.poll_timeout() else { return Poll::Pending };
            if due <= now() {
                driver.handle_timeout(now(), self.look);
                // Nobody else would, where there is no server; and a deadline comes now and then.
                trim_thread_pool();
                return Poll::Ready(());
            }
            let due = tokio::time::Instant::from_std(due);
            // Deadlines mostly move away: an earlier timer stays as it is, and is set again when it fires.
            let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if sleep.deadline() > due || sleep.is_elapsed() {
                sleep.as_mut().reset(due);
            }
            // Whoever polled last may be dropped, so the timer wakes everybody.
            if sleep.as_mut().poll(&mut Context::from_waker(&self.waker)).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Whether something is due before the timer of whoever waits fires.
    fn timer_is_late(&self) -> bool {
        let Mode::Inline { timer } = &self.mode else { return false };
        let Some(due) = self.driver.as_ref().and_then(Driver::poll_timeout) else { return false };
        timer.as_ref().is_none_or(|timer| timer.deadline().into_std() > due)
    }

    /// Parses what is left of a read; the messages in it are held for later, as `how` says.
    pub(crate) fn hold_rest(&mut self, rx: &mut ReceiveLease, how: fn(&mut Connection)) {
        let Some(driver) = &mut self.driver else { return };
        let mut closed = None;
        let how = if self.abandoned { Connection::resume } else { how };
        how(driver.connection_mut());
        if rx.is_empty() && driver.connection().is_settled() {
            return;
        }
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
        if self.queued() > 0 {
            self.refresh_now();
        }
        if let Some(driver) = &mut self.driver {
            if matches!(self.mode, Mode::Inline { .. }) {
                let _ = write(driver, &mut Context::from_waker(&self.waker), self.now);
            }
            driver.end_turn();
        }
        self.let_senders_in();
    }

    /// Wakes, once, those who wait for room in a queue that takes nothing any more.
    pub(crate) fn tell_of_end(&mut self, current: &Waker) {
        if !self.end_is_known && self.state() != ConnectionState::Open {
            self.end_is_known = true;
            self.waiting.wake_others(current);
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.driver.as_ref().is_none_or(|driver| driver.transport() == Transport::Finished)
    }

    pub(crate) fn queued(&self) -> usize {
        self.driver.as_ref().map_or(0, Driver::queued)
    }
}

/// As [`Driver::poll_write`]; sees to another turn where one is wanted.
pub(crate) fn write<S: AsyncRead + AsyncWrite + Unpin>(
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
