//! What a task that only sends does beside writing: it looks at what has come, and sees its message handed over.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::Connection;

use crate::{
    core::{Core, Mode},
    progress::{READS_PER_TURN, write},
    scratch::{ReceiveLease, trim_thread_pool},
};

impl<S: AsyncRead + AsyncWrite + Unpin> Core<S> {
    /// Reads what has come and does what is due, so that a task that only sends answers pings, sees the peer's Close and
    /// watches the deadlines. Messages are held, up to `max_held_bytes`. A transport that knows that nothing has come, as
    /// tokio's sockets do, makes no system call for it. A server's task reads by itself.
    pub(crate) fn look(&mut self, cx: &Context<'_>) {
        if std::mem::take(&mut self.has_received) || self.is_served() {
            return;
        }
        if !self.read_what_has_come() && !self.do_what_is_due() {
            return;
        }
        if let Some(driver) = &mut self.driver {
            let mut io_cx = Context::from_waker(&self.waker);
            // Answers to pings, or to a Close.
            let _ = write(driver, &mut io_cx, self.now);
            driver.poll_shut_down(&mut io_cx);
            driver.end_turn();
        }
        self.tell_of_end(cx.waker());
        // The messages are for a task that may wait in `recv`.
        self.waiting.wake_others(cx.waker());
    }

    /// Whether there was something.
    fn read_what_has_come(&mut self) -> bool {
        let mut rx = ReceiveLease::take();
        for read in 0..READS_PER_TURN {
            let Some(driver) = &mut self.driver else { return read > 0 };
            let mut io_cx = Context::from_waker(&self.waker);
            let goes_on = driver.connection().wants_turn();
            if !goes_on && driver.poll_read(&mut io_cx, self.now, &mut rx).is_pending() {
                return read > 0;
            }
            self.hold_rest(&mut rx, stay_paused);
        }
        true
    }

    /// Whether something was.
    fn do_what_is_due(&mut self) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        if driver.poll_timeout().is_none_or(|due| due > self.now) {
            return false;
        }
        driver.handle_timeout(self.now, self.look);
        trim_thread_pool();
        self.hold_rest(&mut ReceiveLease::take(), stay_paused);
        true
    }

    /// Waits until the transport has taken the message with this number, by count of those accepted, and all before it.
    pub(crate) fn poll_handed_over(&mut self, cx: &mut Context<'_>, number: u64) -> Poll<()> {
        if self.is_served() {
            return Poll::Ready(());
        }
        if self.is_handed_over(number) {
            self.refresh_now();
            self.look(cx);
            self.let_senders_in();
            return Poll::Ready(());
        }
        if self.poll_flush(cx).is_ready() || self.is_handed_over(number) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn is_handed_over(&self, number: u64) -> bool {
        self.driver().is_none_or(|driver| {
            let written = self.accepted.saturating_sub(driver.queued_messages() as u64);
            written >= number && !driver.is_unflushed()
        })
    }

    /// Sees the closing handshake through, while messages are held for those who receive. `Ready`: the transport is
    /// finished.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_background(cx, stay_paused);
        let is_finished = self.is_finished();
        if let Mode::Served { receiving, .. } = &mut self.mode {
            *receiving = !is_finished;
        }
        if is_finished { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Messages that come are held; an end that waits for the reply to the latest message goes on waiting.
pub(crate) const fn stay_paused(connection: &mut Connection) {
    if !connection.is_paused() {
        connection.pause();
    }
}
