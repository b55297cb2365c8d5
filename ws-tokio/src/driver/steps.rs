//! The steps that move bytes: a read, writes, a flush, the shutdown of the write half.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Connection, ReceiveBuffer, TransportAction};

use super::{Driver, drop_spent};
use crate::{
    time::now,
    transport_io::{read_once, write_once},
};

/// Steps per poll for a message that is compressed as it is sent, 256 KiB each. Then the task yields.
const COMPRESSING_ROUNDS: usize = 4;

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Reads once. `Ready` means that [`poll_event`](Self::poll_event) may return an event, the end included. `Pending`
    /// means that the waker is registered, or that nothing may be read at the moment ([`Connection::wants_read`]). In
    /// the second case, schedule another turn if the connection [wants one](Connection::wants_turn).
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant, rx: &mut ReceiveBuffer) -> Poll<()> {
        if !self.connection.wants_read() {
            self.connection.note_stall();
            return Poll::Pending;
        }
        if let Some(unread) = &mut self.unread {
            let target = self.connection.read_target(rx);
            let n = target.len().min(unread.len());
            unread.copy_to_slice(&mut target[..n]);
            self.connection.handle_received(n, now, rx);
            self.unread.take_if(|unread| unread.is_empty());
            self.parts_mut().1.count_read(n);
            return Poll::Ready(());
        }
        let target = self.connection.read_target(rx);
        let read = ready!(read_once(&mut self.io, cx, target, self.is_trusted));
        self.on_read(read, cx, now, rx)
    }

    /// Handles the result of a read, for [`poll_read`](Self::poll_read).
    #[inline(always)]
    pub(super) fn on_read(
        &mut self,
        read: io::Result<usize>,
        cx: &Context<'_>,
        now: Instant,
        rx: &mut ReceiveBuffer,
    ) -> Poll<()> {
        match read {
            Ok(0) => self.connection.handle_eof(now),
            Ok(n) => {
                report_clock(&mut self.connection);
                self.connection.handle_received(n, now, rx);
                self.parts_mut().1.count_read(n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return wake_and_wait(cx),
            Err(error) => self.on_read_error(error.kind(), now),
        }
        Poll::Ready(())
    }

    /// Writes and flushes what is queued. `Ready` means that nothing is left, or that writing failed; then the bytes
    /// that the peer sent before are still read ([`Connection::handle_write_error`]). `Pending` means that the
    /// transport is full and the waker is registered, or that the driver [wants another turn](Self::wants_write_turn),
    /// which the caller must schedule.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let mut rounds = 0;
        loop {
            let Some(tx) = self.tx.as_deref_mut() else { return Poll::Ready(()) };
            if rounds >= COMPRESSING_ROUNDS && self.connection.is_deflating() {
                return Poll::Pending;
            }
            rounds += 1;
            self.connection.pump(tx);
            if tx.is_written() {
                let held_something_up = tx.blocked_since().is_some();
                ready!(self.poll_flush(cx, now));
                if held_something_up && self.queue().blocked_since().is_none() {
                    continue;
                }
                return Poll::Ready(());
            }
            self.needs_flush = true;
            let written = write_once(Pin::new(&mut self.io), cx, tx);
            if let Some(end) = self.on_write(written, cx, now) {
                return end;
            }
        }
    }

    /// Handles the result of a write, for [`poll_write`](Self::poll_write). `None`: continue.
    #[inline(always)]
    pub(super) fn on_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &Context<'_>,
        now: Instant,
    ) -> Option<Poll<()>> {
        let tx = self.tx.as_deref_mut()?;
        match written {
            Poll::Pending => {
                tx.set_blocked(now);
                // From now on the queued bytes count towards the limits.
                self.connection.pump(tx);
                Some(Poll::Pending)
            }
            Poll::Ready(Ok(0)) => Some(self.on_write_error(io::ErrorKind::WriteZero, now)),
            Poll::Ready(Ok(n)) => {
                tx.advance(n.min(tx.len()));
                report_clock(&mut self.connection);
                self.connection.handle_written(now);
                if tx.has_spent() {
                    drop_spent(tx);
                }
                None
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                tx.set_blocked(now);
                Some(wake_and_wait(cx))
            }
            Poll::Ready(Err(error)) => Some(self.on_write_error(error.kind(), now)),
        }
    }

    /// Returns whether [`poll_write`](Self::poll_write) stopped so that other tasks can run.
    pub fn wants_write_turn(&self) -> bool {
        self.connection.is_deflating() && self.queue().blocked_since().is_none()
    }

    /// Shuts down the write half of the transport once the state machine asks for it.
    pub fn poll_shut_down(&mut self, cx: &mut Context<'_>) {
        if !self.write_shut_down && self.transport_action() == TransportAction::ShutDownWrite {
            // The next read reports an error of the shutdown too.
            self.write_shut_down = Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
        }
    }

    /// Flushes the transport. TLS, for example, has a buffer of its own.
    fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        // The buffer of a transport that is finished is discarded.
        if !self.needs_flush || self.transport_action() == TransportAction::Close {
            return Poll::Ready(());
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.on_flush(flushed, cx, now)
    }

    /// Handles the result of a flush. `Pending`: something is left in the transport's buffer.
    #[inline]
    pub(super) fn on_flush(
        &mut self,
        flushed: Poll<io::Result<()>>,
        cx: &Context<'_>,
        now: Instant,
    ) -> Poll<()> {
        if matches!(flushed, Poll::Ready(Ok(()))) && self.tx.as_ref().is_none_or(|tx| tx.is_empty()) {
            self.needs_flush = false;
            return Poll::Ready(());
        }
        self.on_held_up_flush(flushed, cx, now)
    }

    /// The transport holds bytes back, or did so before, or has failed.
    #[cold]
    fn on_held_up_flush(
        &mut self,
        flushed: Poll<io::Result<()>>,
        cx: &Context<'_>,
        now: Instant,
    ) -> Poll<()> {
        let flushed = match flushed {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                wake_and_wait(cx).map(Ok)
            }
            flushed => flushed,
        };
        let (connection, tx) = self.parts_mut();
        let was_held = !tx.is_empty();
        // After an error too: the transport's buffer does not reach the peer.
        if matches!(flushed, Poll::Ready(Ok(()))) {
            tx.set_flushed()
        } else {
            tx.set_unflushed(now)
        }
        if flushed.is_pending() {
            // From now on the queued bytes count towards the limits.
            connection.pump(tx);
        }
        match ready!(flushed) {
            Ok(()) if was_held => connection.handle_flushed(now),
            Ok(()) => {}
            Err(error) => return self.on_write_error(error.kind(), now),
        }
        self.needs_flush = false;
        Poll::Ready(())
    }

    fn on_write_error(&mut self, kind: io::ErrorKind, now: Instant) -> Poll<()> {
        self.needs_flush = false;
        let (connection, tx) = self.parts_mut();
        connection.handle_write_error(kind, now, tx);
        Poll::Ready(())
    }

    fn on_read_error(&mut self, kind: io::ErrorKind, now: Instant) {
        match kind {
            // TLS without close_notify says as much as a TCP FIN: the peer has left.
            io::ErrorKind::UnexpectedEof => self.connection.handle_eof(now),
            kind => {
                let (connection, tx) = self.parts_mut();
                connection.handle_transport_error(kind, tx);
            }
        }
    }
}

/// Tells the connection the exact time, if it asks: the time of a turn may be coarse.
#[inline]
fn report_clock(connection: &mut Connection) {
    #[cold]
    fn report(connection: &mut Connection) {
        connection.handle_clock(now());
    }
    if connection.wants_clock() {
        report(connection);
    }
}

/// Wakes the task and returns `Pending`, after `Interrupted`. The transport is not polled again at once, because it may
/// return `Interrupted` forever.
fn wake_and_wait(cx: &Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
