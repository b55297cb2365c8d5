use std::{
    io::{self, ErrorKind, IoSlice, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, ready},
};

use rustix::{
    event::epoll::{self, EventFlags},
    io::Errno,
    net::{RecvFlags, SendFlags},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};
use ws_proto::SendQueue;

use crate::net::Io;

/// A socket whose readiness the reactor reports. It registers no waker: the reactor polls its connection after an
/// event.
///
/// As in tokio, a short read or write clears the readiness until the kernel's next event. This saves a call that
/// would only return `EAGAIN`.
///
/// Reads and writes are made with rustix, which enters the kernel itself. The C library's functions are cancellation
/// points: in a process with several threads, each call takes two atomic read-modify-writes more.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The peer has closed or the socket has failed. A short read then does not clear the readiness, so that the end
    /// is read.
    ended: bool,
    /// Whether the reactor has queued the connection for another turn. The flag costs no memory here.
    pub(crate) wants_turn: bool,
}

impl Socket {
    /// Wraps a socket in non-blocking mode. It becomes readable with the kernel's first event after its registration.
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, readable: false, writable: true, ended: false, wants_turn: false }
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    pub(crate) fn nodelay(&self) -> io::Result<bool> {
        self.stream.nodelay()
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Takes the socket out of its reactor: the reactor's epoll descriptor reports no more events of it.
    pub(crate) fn leave(self, epoll: &Weak<AsyncFd<OwnedFd>>) -> TcpStream {
        // A reactor that has ended has closed the descriptor.
        if let Some(epoll) = epoll.upgrade() {
            // Fails only if the socket is not registered.
            let _ = epoll::delete(&*epoll, &self.stream);
        }
        self.stream
    }

    /// Records an event of the kernel.
    pub(crate) fn note(&mut self, events: EventFlags) {
        let ended = events.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.ended |= ended;
        self.readable |= ended || events.contains(EventFlags::IN);
        self.writable |= events.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
    }

    /// Whether the kernel has reported an end.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether a write may be tried, and the connection is not queued for another turn.
    pub(crate) const fn is_idle_and_writable(&self) -> bool {
        self.writable && !self.wants_turn
    }

    /// Whether what had arrived is read, and no end was reported. Then a read waits for the kernel's next event.
    pub(crate) const fn is_read(&self) -> bool {
        !self.readable
    }

    /// Whether bytes may have arrived, a write may be tried, and no end was reported.
    #[inline]
    pub(crate) const fn is_ready_and_open(&self) -> bool {
        self.readable && self.writable && !self.ended
    }

    /// Reads what has arrived, as far as it fits into `target`.
    #[inline]
    pub(crate) fn read_now(&mut self, target: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.readable {
            return Poll::Pending;
        }
        let wanted = target.len();
        match rustix::net::recv(&self.stream, target, RecvFlags::empty()) {
            Ok((read, _)) => {
                self.readable = self.ended || read == wanted;
                Poll::Ready(Ok(read))
            }
            Err(Errno::WOULDBLOCK) => {
                self.readable = false;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Writes what the kernel takes.
    #[inline]
    pub(crate) fn write_now(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_with(bytes.len(), |stream| Ok(rustix::net::send(stream, bytes, SendFlags::NOSIGNAL)?))
    }

    /// Writes what the kernel takes, and returns the number of bytes. The next write reports an error again.
    #[inline]
    pub(crate) fn write_or_nothing(&mut self, bytes: &[u8]) -> usize {
        match self.write_now(bytes) {
            Poll::Ready(Ok(written)) => written,
            _ => 0,
        }
    }

    #[inline]
    fn write_with(
        &mut self,
        wanted: usize,
        write: impl FnOnce(&mut TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if !self.writable {
            return Poll::Pending;
        }
        match write(&mut self.stream) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                Poll::Pending
            }
            Ok(written) => {
                self.writable = written == wanted;
                Poll::Ready(Ok(written))
            }
            error => Poll::Ready(error),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Io for Socket {
    fn send_queue(&self) -> Option<SendQueue> {
        ws_tokio::tcp_send_queue(self)
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.read_now(buf.initialize_unfilled()))?;
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_now(bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.write_with(wanted, |stream| stream.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}
