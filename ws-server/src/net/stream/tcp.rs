//! Reads and writes of a TCP socket that tokio watches, on Linux.
//!
//! They do what those of `TcpStream` do, but rustix makes the system call: in a process with several threads, the C
//! library's functions take two atomic read-modify-writes more per call, because they are cancellation points.

use std::{
    io::{self, ErrorKind},
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, SendFlags};
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
    task::coop::poll_proceed,
};

/// Reads what has arrived, as far as the buffer has room.
#[inline]
pub(super) fn poll_read(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let target = buf.initialize_unfilled();
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let read = try_once(stream, Interest::READABLE, target.len(), || {
            Ok(rustix::net::recv(stream, &mut *target, RecvFlags::empty())?.0)
        });
        if let Poll::Ready(read) = read {
            buf.advance(read?);
            return Poll::Ready(Ok(()));
        }
    }
}

/// Writes what the kernel takes.
#[inline]
pub(super) fn poll_write(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    // Usually the socket is ready, so it is tried first. The budget counts what `poll_write_ready` would have counted.
    let budget = ready!(poll_proceed(cx));
    loop {
        let written = try_once(stream, Interest::WRITABLE, bytes.len(), || {
            Ok(rustix::net::send(stream, bytes, SendFlags::NOSIGNAL)?)
        });
        if written.is_ready() {
            budget.made_progress();
            return written;
        }
        ready!(stream.poll_write_ready(cx))?;
    }
}

/// Makes a call for `wanted` bytes. If it moves only a part of them, the socket is not ready until the kernel's next
/// event. `Pending`: it was not ready.
#[inline]
fn try_once(
    stream: &TcpStream,
    interest: Interest,
    wanted: usize,
    call: impl FnOnce() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    let mut part = None;
    let moved = stream.try_io(interest, || {
        let moved = call()?;
        if 0 < moved && moved < wanted {
            part = Some(moved);
            // Clears the readiness.
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(moved)
    });
    match (part, moved) {
        (Some(part), _) => Poll::Ready(Ok(part)),
        (None, Err(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        (None, moved) => Poll::Ready(moved),
    }
}
