//! Moves bytes between a transport and the protocol's state machine.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Backlog, Connection, Event, ReceiveBuffer, SendQueue, TransmitQueue, Transport};

use crate::{
    foreign::{Foreign, run_unlocked},
    thread_buffers,
    transport_io::{read_once, write_once},
};

/// Steps per poll of a message that is compressed as it is sent, 256 KiB of it each; then others have their turn.
const COMPRESSING_ROUNDS: usize = 4;

/// A connection on its transport. Every step is a poll that keeps all state here, so nothing is lost when a future
/// around it is dropped.
pub struct Driver<S> {
    io: S,
    connection: Connection,
    /// Present only while something waits in it.
    tx: Option<Box<TransmitQueue>>,
    /// Received behind the handshake, and read before anything that is still to come.
    unread: Option<Box<Bytes>>,
    write_shut_down: bool,
    needs_flush: bool,
    /// Whether the transport is known to have written what it says it has read.
    is_trusted: bool,
}

impl<S> Driver<S> {
    /// Puts a connection whose handshake is done on its transport.
    ///
    /// The buffer that the transport reads into has been that of other connections. It is lent as memory that is not
    /// initialized: a transport that says that it has read more than it wrote panics, or gets zeros.
    pub const fn new(io: S, connection: Connection) -> Self {
        Self::with_trust(io, connection, false)
    }

    /// As [`new`](Self::new), for a transport that is known to keep its contract. The buffer is lent as it is: a transport
    /// that needs it initialized does not have to do that for each read.
    pub const fn trusting(io: S, connection: Connection) -> Self {
        Self::with_trust(io, connection, true)
    }

    const fn with_trust(io: S, connection: Connection, is_trusted: bool) -> Self {
        let (tx, unread) = (None, None);
        Self { io, connection, tx, unread, write_shut_down: false, needs_flush: false, is_trusted }
    }

    /// The state machine, for its getters.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The state machine, for commands that write nothing.
    pub const fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The state machine and the queue that its commands write to.
    #[inline]
    pub fn parts_mut(&mut self) -> (&mut Connection, &mut TransmitQueue) {
        let tx = self.tx.get_or_insert_with(thread_buffers::take_queue);
        (&mut self.connection, tx)
    }

    /// The state machine, its queue, and a way to write to the transport at once, for
    /// [`Connection::send_through`].
    #[doc(hidden)]
    #[inline]
    pub fn writer_parts(&mut self) -> (&mut Connection, &mut TransmitQueue, DirectWriter<'_, S>) {
        let tx = self.tx.get_or_insert_with(thread_buffers::take_queue);
        (&mut self.connection, tx, DirectWriter { io: &mut self.io, needs_flush: &mut self.needs_flush })
    }

    /// The transport.
    pub const fn io(&self) -> &S {
        &self.io
    }

    /// The transport, to change its state; what is read or written there is unknown to the connection.
    pub const fn io_mut(&mut self) -> &mut S {
        &mut self.io
    }

    /// Takes the driver apart: transport, state machine, what waits to be written, and what is left of
    /// [`preload`](Self::preload).
    pub fn into_parts(mut self) -> (S, Connection, TransmitQueue, Bytes) {
        self.drop_spent();
        let unread = self.unread.map_or_else(Bytes::new, |unread| *unread);
        let mut tx = self.tx.map_or_else(TransmitQueue::new, |tx| *tx);
        tx.keep_spent(false);
        (self.io, self.connection, tx, unread)
    }

    /// Ends the connection at once; drops what waits to be written. Call it before the driver is dropped: each payload is
    /// dropped by itself then, whatever its destructor does.
    pub fn abort(&mut self) {
        if !self.is_quiet() {
            let (connection, tx) = self.parts_mut();
            connection.abort(tx);
        }
        self.end_turn();
    }

    /// Drops the payloads that are written or given up; if this thread has a [`Hold`](crate::internal::Hold), once it has none.
    #[inline]
    pub fn drop_spent(&mut self) {
        if let Some(tx) = &mut self.tx
            && tx.has_spent()
        {
            drop_spent(tx);
        }
    }

    /// The next event from what has been received.
    #[inline]
    pub fn poll_event<'rx>(&mut self, rx: &'rx mut ReceiveBuffer) -> Option<Event<'rx>> {
        let (connection, tx) = self.parts_mut();
        connection.poll_event(rx, tx)
    }

    /// Takes bytes that were received before, behind the handshake; [`poll_read`](Self::poll_read) gives them first.
    pub fn preload(&mut self, received: &[u8]) {
        self.unread = (!received.is_empty()).then(|| Box::new(Bytes::copy_from_slice(received)));
    }

    /// What to do with the transport.
    #[inline]
    pub fn transport(&self) -> Transport {
        self.connection.transport(self.queue())
    }

    /// Whether there is nothing to do but read, and the deadlines have at most moved away since it was last so.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.tx.is_none() && self.connection.is_settled()
    }

    fn queue(&self) -> &TransmitQueue {
        static EMPTY: TransmitQueue = TransmitQueue::new();
        self.tx.as_deref().unwrap_or(&EMPTY)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout(self.queue())
    }

    /// Does what is due at `now`. `look` says what the transport knows of its send queue; it is called only if that decides
    /// ([`Connection::wants_send_queue`]).
    pub fn handle_timeout(&mut self, now: Instant, look: impl FnOnce(&S) -> Option<SendQueue>) {
        let tx = self.tx.get_or_insert_with(thread_buffers::take_queue);
        if self.connection.wants_send_queue(now, tx)
            && let Some(queue) = look(&self.io)
        {
            self.connection.handle_send_queue(queue, now);
        }
        self.connection.handle_timeout(now, tx);
    }

    /// Bytes that wait to be written, encoded or not.
    pub fn queued(&self) -> usize {
        self.tx.as_ref().map_or(0, |tx| self.connection.queued(tx).1)
    }

    /// Messages that were accepted and are not handed to the transport.
    pub(crate) fn queued_messages(&self) -> usize {
        self.tx.as_ref().map_or(0, |tx| self.connection.queued(tx).0)
    }

    /// Whether all is written to a transport that has a buffer of its own and has not passed it on.
    pub(crate) fn is_unflushed(&self) -> bool {
        self.tx.as_ref().is_some_and(|tx| tx.is_written() && !tx.is_empty())
    }

    /// Whether a small message would be accepted, and the memory budget is not what keeps larger ones out.
    pub fn has_room(&self) -> bool {
        self.tx.as_ref().is_none_or(|tx| self.connection.has_room(tx))
    }

    /// Whether an open connection would accept a message of `len` bytes, although there is room promised to others.
    pub fn has_room_beside(&self, len: usize, promised: &Backlog) -> bool {
        self.connection.has_room_beside(len, promised, self.queue())
    }

    /// Gives the transmit queue back to the thread if nothing waits in it. Call it at the end of a turn.
    #[inline]
    pub fn end_turn(&mut self) {
        self.drop_spent();
        // What is still to be compressed needs it again.
        if !self.connection.is_deflating()
            && let Some(tx) = self.tx.take_if(|tx| tx.is_empty())
        {
            thread_buffers::put_queue(tx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Reads once. `Ready`: there is something new for [`poll_event`](Self::poll_event), be it the end. `Pending`: the
    /// waker is registered, unless nothing may be read at the moment ([`Connection::wants_read`]); then see to another
    /// turn if the connection [wants one](Connection::wants_turn).
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
            return Poll::Ready(());
        }
        let target = self.connection.read_target(rx);
        match ready!(read_once(&mut self.io, cx, target, self.is_trusted)) {
            Ok(0) => self.connection.handle_eof(now),
            Ok(n) => self.connection.handle_received(n, now, rx),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return wake_and_wait(cx),
            Err(error) => self.on_read_error(error.kind(), now),
        }
        Poll::Ready(())
    }

    /// Writes what waits. `Ready`: nothing waits any more, or writing failed; then what the peer sent before is still to be
    /// read ([`Connection::handle_write_error`]). `Pending`: the transport takes no more for now, and the waker is
    /// registered; or it [wants another turn](Self::wants_write_turn), which is for the caller to see to.
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
                    // Now what waits counts.
                    self.connection.pump(tx);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return self.on_write_error(io::ErrorKind::WriteZero, now),
                Poll::Ready(Ok(n)) => {
                    tx.advance(n.min(tx.len()));
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

    /// Whether [`poll_write`](Self::poll_write) stopped for others to have their turn.
    pub fn wants_write_turn(&self) -> bool {
        self.connection.is_deflating() && self.queue().blocked_since().is_none()
    }

    /// Shuts the write half down once the machine asks for it.
    pub fn poll_shut_down(&mut self, cx: &mut Context<'_>) {
        if !self.write_shut_down && self.transport() == Transport::ShutDownWrite {
            // An error here shows again at the next read.
            self.write_shut_down = Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
        }
    }

    /// Transports with a buffer of their own, such as TLS, need to be told.
    fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        // What a transport that is given up still holds does not matter.
        if !self.needs_flush || self.transport() == Transport::Finished {
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
        // After an error too: what the transport holds does not reach the peer.
        tx.set_unflushed(!matches!(flushed, Poll::Ready(Ok(()))), now);
        if flushed.is_pending() {
            // Now what waits counts.
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
            // TLS without close_notify: the peer went away, no more and no less than a TCP FIN says.
            io::ErrorKind::UnexpectedEof => self.connection.handle_eof(now),
            kind => {
                let (connection, tx) = self.parts_mut();
                connection.handle_transport_error(kind, tx);
            }
        }
    }
}

/// Writes past the queue.
pub struct DirectWriter<'a, S> {
    io: &'a mut S,
    needs_flush: &'a mut bool,
}

impl<S: AsyncWrite + Unpin> DirectWriter<'_, S> {
    /// Writes what the transport takes now; 0 if that is nothing. An error shows again at the next regular write.
    pub fn write(&mut self, waker: &Waker, slices: &[IoSlice<'_>]) -> usize {
        if !self.io.is_write_vectored() {
            return 0;
        }
        *self.needs_flush = true;
        match Pin::new(&mut *self.io).poll_write_vectored(&mut Context::from_waker(waker), slices) {
            Poll::Ready(Ok(n)) => n,
            _ => 0,
        }
    }
}

/// A transport that was interrupted is asked again, but others have their turn first: it may never be anything else.
fn wake_and_wait(cx: &Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cold]
fn drop_spent(tx: &mut TransmitQueue) {
    tx.drain_spent().for_each(|payload| run_unlocked(Foreign::Payload(payload)));
}
