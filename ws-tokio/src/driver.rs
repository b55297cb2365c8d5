//! Moves bytes between a transport and the state machine.

use std::{fmt, time::Instant};

use bytes::Bytes;
use ws_proto::{
    Connection, Event, ReceiveBuffer, SendQueue, TransmitQueue, TransportAction, memory::Backlog,
    recorder::Recording, stats::ConnectionStats,
};

use crate::{
    foreign::{Foreign, run_unlocked},
    parts::Parts,
    pressure::Pressure,
    thread_buffers,
    traffic::TrafficCounters,
};

mod direct_writer;
mod fast_path;
mod prepared;
mod steps;

pub use direct_writer::{DirectWriter, WriterParts};

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

    /// Creates a driver, as [`new`](Self::new) does. A transport is trusted if it is known to keep the contract of
    /// [`AsyncRead`]. To such a transport, the buffer is lent as initialized memory. So a transport that needs that
    /// does not clear it for each read.
    pub const fn with_trust(io: S, connection: Connection, is_trusted: bool) -> Self {
        let (tx, unread) = (None, None);
        Self { io, connection, tx, unread, write_shut_down: false, needs_flush: false, is_trusted }
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

    /// Returns the transport.
    pub const fn io(&self) -> &S {
        &self.io
    }

    /// Returns the transport, to change its options. Do not read from it or write to it: the connection does not see
    /// those bytes.
    pub const fn io_mut(&mut self) -> &mut S {
        &mut self.io
    }

    /// Replaces the transport.
    pub(crate) fn map_io(self, replace: impl FnOnce(S) -> S) -> Self {
        Self { io: replace(self.io), ..self }
    }

    /// Returns the transport, the state machine, the bytes that wait to be written, and the bytes of
    /// [`preload`](Self::preload) that are not read yet. `counters` as in [`end_turn`](Self::end_turn).
    pub fn into_parts(mut self, counters: Option<&TrafficCounters>) -> Parts<S> {
        self.drop_spent();
        if let Some(tx) = &mut self.tx {
            count_turn(tx, 0, counters);
        }
        let received = self.unread.map_or_else(Bytes::new, |unread| *unread);
        let mut transmit = self.tx.map_or_else(TransmitQueue::new, |tx| *tx);
        transmit.keep_spent(false);
        Parts { io: self.io, connection: self.connection, transmit, received }
    }

    /// Ends the connection at once and drops what waits to be written. Call it before the driver is dropped, so that a
    /// payload whose destructor panics does not affect the others. `counters` as in [`end_turn`](Self::end_turn).
    pub fn abort(&mut self, counters: Option<&TrafficCounters>) {
        if !self.is_quiet() {
            let (connection, tx) = self.parts_mut();
            connection.abort(tx);
        }
        self.end_turn(counters);
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

    /// Returns whether [`drop_spent`](Self::drop_spent) has something to drop.
    #[inline]
    pub(crate) fn has_spent(&self) -> bool {
        self.tx.as_ref().is_some_and(|tx| tx.has_spent())
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

    /// Returns what waits to be written, and since when the transport has taken no bytes.
    pub fn pressure(&self) -> Pressure {
        let tx = self.queue();
        Pressure {
            queued: self.connection.queued(tx),
            blocked_since: tx.blocked_since(),
            ..Pressure::default()
        }
    }

    /// Returns whether the transport took no more bytes when they were last offered, and some are left.
    #[inline]
    pub fn is_blocked(&self) -> bool {
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

    /// Adds what was received and sent in this turn to the server's `counters`, and returns the transmit queue to the
    /// thread if it is empty. Call it at the end of each turn.
    #[inline]
    pub fn end_turn(&mut self, counters: Option<&TrafficCounters>) {
        let Some(tx) = self.tx.as_deref_mut() else { return };
        if tx.has_spent() {
            drop_spent(tx);
        }
        let is_empty = tx.is_empty();
        let waiting = if is_empty { 0 } else { self.connection.queued(tx).bytes };
        count_turn(tx, waiting, counters);
        // A message that is still being compressed needs it again.
        if is_empty
            && !self.connection.is_deflating()
            && let Some(tx) = self.tx.take()
        {
            thread_buffers::put_queue(tx);
        }
    }
}

impl<S> fmt::Debug for Driver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// Adds what was received and sent since the last call to the counters. `waiting` bytes wait to be written.
#[inline(always)]
fn count_turn(tx: &mut TransmitQueue, waiting: usize, counters: Option<&TrafficCounters>) {
    match counters {
        Some(counters) => counters.add(tx, waiting),
        // The next connection that gets the queue may be one that counts.
        None => tx.discard_traffic(waiting),
    }
}

#[cold]
fn drop_spent(tx: &mut TransmitQueue) {
    tx.drain_spent().for_each(|payload| run_unlocked(Foreign::Payload(payload)));
}
