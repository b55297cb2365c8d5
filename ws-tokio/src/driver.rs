//! Moves bytes between a transport and the state machine.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{
    Connection, Event, ReceiveBuffer, SendQueue, TransmitQueue, TransportAction, memory::Backlog,
    recorder::Recording, stats::ConnectionStats,
};

use crate::{
    foreign::{Foreign, run_unlocked},
    parts::Parts,
    thread_buffers,
    traffic::TrafficCounters,
    transport_io::{read_once, write_once},
};

mod direct_writer;
mod prepared;

pub use direct_writer::{DirectWriter, WriterParts};

/// Steps per poll for a message that is compressed as it is sent, 256 KiB each. Then the task yields.
const COMPRESSING_ROUNDS: usize = 4;

/// A connection and its transport, for a task that calls the steps itself.
///
/// [`WebSocket`](crate::WebSocket) is built on this type. The server uses it for a connection that one task owns and
/// that needs no async functions. A turn of that task reads with [`poll_read`](Self::poll_read) into a receive buffer
/// that connections can share, takes events from [`poll_event`](Self::poll_event) until there is none, writes with
/// [`poll_write`](Self::poll_write), calls [`poll_shut_down`](Self::poll_shut_down), and ends with
/// [`end_turn`](Self::end_turn). [`poll_timeout`](Self::poll_timeout) says when
/// [`handle_timeout`](Self::handle_timeout) is due, and [`transport_action`](Self::transport_action) when the
/// connection is over.
///
/// Every step is a poll, and all state is in the `Driver`. So nothing is lost if a future that calls it is dropped.
pub struct Driver<S> {
    io: S,
    connection: Connection,
    /// Present only while it is in use.
    tx: Option<Box<TransmitQueue>>,
    /// Where the server counts what its connections receive and send.
    counters: Option<Arc<TrafficCounters>>,
    /// Bytes that came with the handshake; they are read before those of the transport.
    unread: Option<Box<Bytes>>,
    write_shut_down: bool,
    needs_flush: bool,
    /// Whether reads are known to have written as many bytes as they claim.
    is_trusted: bool,
}

impl<S> Driver<S> {
    /// Creates a driver from a transport and a connection whose opening handshake is complete.
    ///
    /// The receive buffer may contain bytes of other connections. It is lent to the transport as uninitialized memory,
    /// so that a transport that claims to have read more than it wrote panics or reads zeros.
    pub const fn new(io: S, connection: Connection) -> Self {
        Self::with_trust(io, connection, false)
    }

    /// Creates a driver, as [`new`](Self::new) does, for a transport that is known to keep the contract of
    /// [`AsyncRead`]. The buffer is lent as initialized memory, so a transport that needs that does not clear it for
    /// each read.
    pub const fn trusting(io: S, connection: Connection) -> Self {
        Self::with_trust(io, connection, true)
    }

    const fn with_trust(io: S, connection: Connection, is_trusted: bool) -> Self {
        let (tx, counters, unread) = (None, None, None);
        Self { io, connection, tx, counters, unread, write_shut_down: false, needs_flush: false, is_trusted }
    }

    /// Returns the state machine, for its getters.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns the state machine, for commands that write nothing.
    pub const fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Returns the state machine and the queue that its commands write to.
    #[inline]
    pub fn parts_mut(&mut self) -> (&mut Connection, &mut TransmitQueue) {
        let tx = self.tx.get_or_insert_with(thread_buffers::take_queue);
        (&mut self.connection, tx)
    }

    /// Returns the state machine, its queue, and a writer that bypasses the queue, for
    /// [`Connection::send_through`].
    #[inline]
    pub fn writer_parts(&mut self) -> WriterParts<'_, S> {
        let tx = self.tx.get_or_insert_with(thread_buffers::take_queue);
        let writer = DirectWriter { io: &mut self.io, needs_flush: &mut self.needs_flush };
        WriterParts { connection: &mut self.connection, tx, writer }
    }

    /// Counts from now on what the connection receives and sends.
    pub fn count_in(&mut self, counters: Arc<TrafficCounters>) {
        self.counters = Some(counters);
    }

    /// The counters of [`count_in`](Self::count_in).
    pub(crate) fn counters(&self) -> Option<&TrafficCounters> {
        self.counters.as_deref()
    }

    /// Adds what was received and sent in this turn to the counters. `waiting` returns the bytes that wait.
    #[inline]
    fn count_turn(&mut self, waiting: impl FnOnce(&Connection, &TransmitQueue) -> usize) {
        let Some(tx) = self.tx.as_deref_mut() else { return };
        let waiting = waiting(&self.connection, tx);
        // The queue may have counted for another connection if nothing is taken.
        let (traffic, growth) = tx.take_traffic(waiting);
        if let Some(counters) = &self.counters {
            counters.add(&traffic, growth);
        }
    }

    /// Returns the transport.
    pub const fn io(&self) -> &S {
        &self.io
    }

    /// Returns the transport, to change its options. Do not read from it or write to it: the connection does not see
    /// those bytes.
    pub const fn io_mut(&mut self) -> &mut S {
        &mut self.io
    }

    /// Returns the transport, the state machine, the bytes that wait to be written, and the bytes of
    /// [`preload`](Self::preload) that are not read yet.
    pub fn into_parts(mut self) -> Parts<S> {
        self.drop_spent();
        self.count_turn(|_, _| 0);
        let received = self.unread.map_or_else(Bytes::new, |unread| *unread);
        let mut transmit = self.tx.map_or_else(TransmitQueue::new, |tx| *tx);
        transmit.keep_spent(false);
        Parts { io: self.io, connection: self.connection, transmit, received }
    }

    /// Ends the connection at once and drops what waits to be written. Call it before the driver is dropped, so that a
    /// payload whose destructor panics does not affect the others.
    pub fn abort(&mut self) {
        if !self.is_quiet() {
            let (connection, tx) = self.parts_mut();
            connection.abort(tx);
        }
        self.end_turn();
    }

    /// Drops the payloads that are written or abandoned. If this thread holds a lock of a connection, they are dropped
    /// after its release.
    #[inline]
    pub fn drop_spent(&mut self) {
        if let Some(tx) = &mut self.tx
            && tx.has_spent()
        {
            drop_spent(tx);
        }
    }

    /// Returns the next event from the received bytes.
    #[inline]
    pub fn poll_event<'rx>(&mut self, rx: &'rx mut ReceiveBuffer) -> Option<Event<'rx>> {
        let (connection, tx) = self.parts_mut();
        connection.poll_event(rx, tx)
    }

    /// Sets bytes that were received together with the handshake. [`poll_read`](Self::poll_read) reads them first.
    pub fn preload(&mut self, received: &[u8]) {
        self.unread = (!received.is_empty()).then(|| Box::new(Bytes::copy_from_slice(received)));
    }

    /// Returns what to do with the transport.
    #[inline]
    pub fn transport_action(&self) -> TransportAction {
        self.connection.transport_action(self.queue())
    }

    /// Returns whether there is nothing to do but read, and no deadline is earlier than when this was last true.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.tx.is_none() && self.connection.is_settled()
    }

    fn queue(&self) -> &TransmitQueue {
        static EMPTY: TransmitQueue = TransmitQueue::new();
        self.tx.as_deref().unwrap_or(&EMPTY)
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout(self.queue())
    }

    /// Handles the deadlines that have passed at `now`. `read_send_queue` reads the state of the transport's send
    /// queue; it is called only if a deadline depends on it ([`Connection::wants_send_queue`]).
    pub fn handle_timeout(&mut self, now: Instant, read_send_queue: impl FnOnce(&S) -> Option<SendQueue>) {
        let tx = self.tx.get_or_insert_with(thread_buffers::take_queue);
        if self.connection.wants_send_queue(now, tx)
            && let Some(queue) = read_send_queue(&self.io)
        {
            self.connection.handle_send_queue(queue, now);
        }
        self.connection.handle_timeout(now, tx);
    }

    /// Returns what the connection has received and sent, if it counts that.
    pub fn stats(&self) -> Option<ConnectionStats> {
        self.connection.stats(self.queue())
    }

    /// Returns the connection's latest events, if it records them.
    pub fn recording(&self) -> Option<Recording> {
        self.connection.recording()
    }

    /// Returns how many bytes wait to be written, encoded or not.
    pub fn queued(&self) -> usize {
        self.tx.as_ref().map_or(0, |tx| self.connection.queued(tx).bytes)
    }

    /// Returns how many accepted messages the transport has not taken yet.
    pub(crate) fn queued_messages(&self) -> usize {
        self.tx.as_ref().map_or(0, |tx| self.connection.queued(tx).messages)
    }

    /// Returns whether the transport took no more bytes when they were last offered, and some are left.
    pub(crate) fn is_blocked(&self) -> bool {
        self.queue().blocked_since().is_some()
    }

    /// Returns whether everything is written to a transport with its own buffer that is not flushed yet.
    pub(crate) fn is_unflushed(&self) -> bool {
        self.tx.as_ref().is_some_and(|tx| tx.is_written() && !tx.is_empty())
    }

    /// Returns whether a small message would be accepted and the memory budget does not keep larger ones out.
    pub fn has_room(&self) -> bool {
        self.tx.as_ref().is_none_or(|tx| self.connection.has_room(tx))
    }

    /// Returns whether an open connection would accept a message of `len` bytes besides the room that is `promised`.
    pub fn has_room_beside(&self, len: usize, promised: &Backlog) -> bool {
        self.connection.has_room_beside(len, promised, self.queue())
    }

    /// Returns the transmit queue to the thread if it is empty. Call it at the end of each turn.
    #[inline]
    pub fn end_turn(&mut self) {
        self.drop_spent();
        self.count_turn(|connection, tx| if tx.is_empty() { 0 } else { connection.queued(tx).bytes });
        // A message that is still being compressed needs it again.
        if !self.connection.is_deflating()
            && let Some(tx) = self.tx.take_if(|tx| tx.is_empty())
        {
            thread_buffers::put_queue(tx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Reads once. `Ready` means that [`poll_event`](Self::poll_event) may return an event, the end included. `Pending`
    /// means that the waker is registered, or that nothing may be read at the moment ([`Connection::wants_read`]). In
    /// the second case, schedule another turn if the connection [wants one](Connection::wants_turn).
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant, rx: &mut ReceiveBuffer) -> Poll<()> {
        if !self.connection.wants_read() {
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
        match ready!(read_once(&mut self.io, cx, target, self.is_trusted)) {
            Ok(0) => self.connection.handle_eof(now),
            Ok(n) => {
                self.report_clock();
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
            match write_once(Pin::new(&mut self.io), cx, tx) {
                Poll::Pending => {
                    tx.set_blocked(now);
                    // From now on the queued bytes count towards the limits.
                    self.connection.pump(tx);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return self.on_write_error(io::ErrorKind::WriteZero, now),
                Poll::Ready(Ok(n)) => {
                    tx.advance(n.min(tx.len()));
                    if self.connection.wants_clock() {
                        self.connection.handle_clock(clock());
                    }
                    self.connection.handle_written(now);
                    if tx.has_spent() {
                        drop_spent(tx);
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    tx.set_blocked(now);
                    return wake_and_wait(cx);
                }
                Poll::Ready(Err(error)) => return self.on_write_error(error.kind(), now),
            }
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
        let flushed = match Pin::new(&mut self.io).poll_flush(cx) {
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

    /// Tells the connection the exact time, if it asks: `now` may be coarse.
    #[inline]
    fn report_clock(&mut self) {
        if self.connection.wants_clock() {
            self.connection.handle_clock(clock());
        }
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

impl<S> fmt::Debug for Driver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// Wakes the task and returns `Pending`, after `Interrupted`. The transport is not polled again at once, because it may
/// return `Interrupted` forever.
fn wake_and_wait(cx: &Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cold]
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cold]
fn drop_spent(tx: &mut TransmitQueue) {
    tx.drain_spent().for_each(|payload| run_unlocked(Foreign::Payload(payload)));
}
