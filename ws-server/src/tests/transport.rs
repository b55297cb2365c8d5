//! A transport that counts the system calls that a socket would make.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The test's end of the transport: sends as the peer, and sees what was written and how many system calls that took.
#[derive(Clone, Default)]
pub(super) struct Script(Rc<RefCell<State>>);

/// The connection's end of the transport. As tokio's sockets do, it makes a system call only while it is marked
/// readable, and a read that does not fill the buffer clears the mark.
pub(super) struct Counted(Script);

#[derive(Default)]
struct State {
    incoming: Vec<u8>,
    readable: bool,
    written: Vec<u8>,
    calls: Calls,
    /// How many more bytes the peer takes. `None` is no limit.
    room: Option<usize>,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

/// System calls so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) reads: usize,
    pub(super) writes: usize,
}

impl Script {
    pub(super) fn transport_action(&self) -> Counted {
        Counted(self.clone())
    }

    /// Bytes arrive from the peer, all together.
    pub(super) fn deliver(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        state.incoming.extend_from_slice(bytes);
        state.readable = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// The peer takes this many bytes more, and then no more.
    pub(super) fn take_only(&self, room: usize) {
        let mut state = self.0.borrow_mut();
        state.room = Some(room);
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// What was written since the last call.
    pub(super) fn take_written(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().written)
    }

    /// The system calls since the last call.
    pub(super) fn take_calls(&self) -> Calls {
        std::mem::take(&mut self.0.borrow_mut().calls)
    }
}

impl crate::net::Io for Counted {}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.0.borrow_mut();
        if state.readable {
            state.calls.reads += 1;
            let n = state.incoming.len().min(buf.remaining());
            state.readable = n == buf.remaining();
            if n > 0 {
                buf.put_slice(&state.incoming[..n]);
                state.incoming.drain(..n);
                return Poll::Ready(Ok(()));
            }
            state.readable = false;
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.0.borrow_mut();
        state.calls.writes += 1;
        if state.room == Some(0) {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = state.written.len();
        for slice in slices {
            let taken = slice.len().min(state.room.unwrap_or(usize::MAX));
            state.room = state.room.map(|room| room - taken);
            state.written.extend_from_slice(&slice[..taken]);
        }
        Poll::Ready(Ok(state.written.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
