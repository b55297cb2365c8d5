//! Moves bytes between a transport and the protocol's state machine.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::{Backlog, Connection, Event, ReceiveBuffer, TransmitQueue, Transport};

use crate::scratch;

/// Slices per vectored write.
const MAX_SLICES: usize = 16;
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
}

impl<S> Driver<S> {
    /// Puts a connection whose handshake is done on its transport.
    pub const fn new(io: S, connection: Connection) -> Self {
        Self { io, connection, tx: None, unread: None, write_shut_down: false, needs_flush: false }
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
        let tx = self.tx.get_or_insert_with(scratch::take_queue);
        (&mut self.connection, tx)
    }

    /// The state machine, its queue, and a way to write to the transport at once, for
    /// [`Connection::send_through`].
    #[inline]
    pub fn writer_parts(&mut self) -> (&mut Connection, &mut TransmitQueue, DirectWriter<'_, S>) {
        let tx = self.tx.get_or_insert_with(scratch::take_queue);
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
    pub fn into_parts(self) -> (S, Connection, TransmitQueue, Bytes) {
        let unread = self.unread.map_or_else(Bytes::new, |unread| *unread);
        (self.io, self.connection, self.tx.map_or_else(TransmitQueue::new, |tx| *tx), unread)
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

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (connection, tx) = self.parts_mut();
        connection.handle_timeout(now, tx);
    }

    /// Bytes that wait to be written, encoded or not.
    pub fn queued(&self) -> usize {
        self.tx.as_ref().map_or(0, |tx| self.connection.queued(tx).1)
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
        // What is still to be compressed needs it again.
        if !self.connection.is_deflating()
            && let Some(tx) = self.tx.take_if(|tx| tx.is_empty())
        {
            scratch::put_queue(tx);
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
        let own = target.as_ptr();
        let mut buffer = ReadBuf::new(target);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
        let (filled, is_own) = (buffer.filled().len(), buffer.filled().as_ptr() == own);
        match read {
            Poll::Pending => return Poll::Pending,
            // Another buffer than the one that was lent: ours may still have what other connections received.
            Poll::Ready(Ok(())) if !is_own => self.on_read_error(io::ErrorKind::InvalidData, now),
            Poll::Ready(Ok(())) => match filled {
                0 => self.connection.handle_eof(now),
                n => self.connection.handle_received(n, now, rx),
            },
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return again(cx),
            Poll::Ready(Err(error)) => self.on_read_error(error.kind(), now),
        }
        Poll::Ready(())
    }

    /// Writes what waits. `Ready`: nothing waits any more, or the transport failed. `Pending`: the transport takes no
    /// more for now, and the waker is registered; or it [wants another turn](Self::wants_write_turn), which is for the
    /// caller to see to.
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
                Poll::Ready(Ok(0)) => {
                    self.connection.handle_transport_error(io::ErrorKind::WriteZero, tx);
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(n)) => {
                    tx.advance(n.min(tx.len()));
                    self.connection.handle_written(now);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    tx.set_blocked(now);
                    return again(cx);
                }
                Poll::Ready(Err(error)) => {
                    self.connection.handle_transport_error(error.kind(), tx);
                    return Poll::Ready(());
                }
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
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => again(cx).map(Ok),
            flushed => flushed,
        };
        let (connection, tx) = self.parts_mut();
        tx.set_unflushed(flushed.is_pending(), now);
        if flushed.is_pending() {
            // Now what waits counts.
            connection.pump(tx);
        }
        match ready!(flushed) {
            Ok(()) => {}
            Err(error) => connection.handle_transport_error(error.kind(), tx),
        }
        self.needs_flush = false;
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
fn again(cx: &Context<'_>) -> Poll<()> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn write_once<S: AsyncWrite>(
    io: Pin<&mut S>,
    cx: &mut Context<'_>,
    tx: &TransmitQueue,
) -> Poll<io::Result<usize>> {
    let chunk = tx.chunk();
    if chunk.len() == tx.len() || !io.is_write_vectored() {
        return io.poll_write(cx, chunk);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let filled = tx.chunks_vectored(&mut slices);
    io.poll_write_vectored(cx, &slices[..filled])
}
