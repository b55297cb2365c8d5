//! A transport in memory whose behaviour a test controls.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_proto::Role;

use super::{Frame, Peer, opcode, wire::Decoder};

/// The transport of the connection under test.
#[derive(Debug)]
pub(crate) struct TestTransport(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    /// Whether the peer masks what it sends.
    pub(crate) peer_masks: bool,
    pub(crate) incoming: VecDeque<u8>,
    /// What a read returns when no bytes are left.
    pub(crate) end: Option<io::Result<()>>,
    pub(crate) decoder: Decoder,
    pub(crate) frames: Vec<Frame>,
    /// Bytes that the transport still takes.
    pub(crate) window: usize,
    /// What writes return instead of taking bytes: an error, or `Ok(0)` for `Some(None)`.
    pub(crate) write_fault: Option<Option<ErrorKind>>,
    /// The error that flushes return.
    pub(crate) flush_fault: Option<ErrorKind>,
    /// Most bytes per read and per write.
    pub(crate) read_size: usize,
    pub(crate) write_size: usize,
    /// Of three polls the first is answered with `Pending` and a wake-up, the second with `Interrupted`.
    pub(crate) stalls: bool,
    /// Bytes reach the peer only after a flush, as with TLS.
    pub(crate) needs_flush: bool,
    /// The peer answers a Close and ends its stream.
    pub(crate) answers_close: bool,
    pub(crate) counts: Counts,
    pub(crate) shut_down: bool,
    pub(crate) dropped: bool,
    reader: Slot,
    writer: Slot,
    unflushed: Vec<u8>,
}

/// Counts of what the connection did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Reads and writes that moved bytes.
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    /// All polls of the transport.
    pub(crate) polls: usize,
    pub(crate) bytes_read: usize,
}

/// One direction. It keeps only the latest waker, as real transports do.
#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    stalls: u8,
}

impl Slot {
    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The result of this poll if it is one that stalls.
    fn stall<T>(&mut self, cx: &Context<'_>) -> Option<Poll<io::Result<T>>> {
        self.stalls = (self.stalls + 1) % 3;
        match self.stalls {
            1 => {
                cx.waker().wake_by_ref();
                Some(Poll::Pending)
            }
            2 => Some(Poll::Ready(Err(ErrorKind::Interrupted.into()))),
            _ => None,
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl TestTransport {
    pub(crate) fn new(role: Role) -> (Self, Peer) {
        let state = State {
            peer_masks: role == Role::Server,
            incoming: VecDeque::new(),
            end: None,
            decoder: Decoder::new(role == Role::Client),
            frames: Vec::new(),
            window: usize::MAX,
            write_fault: None,
            flush_fault: None,
            read_size: usize::MAX,
            write_size: usize::MAX,
            stalls: false,
            needs_flush: false,
            answers_close: false,
            counts: Counts::default(),
            shut_down: false,
            dropped: false,
            reader: Slot::default(),
            writer: Slot::default(),
            unflushed: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        (Self(state.clone()), Peer::new(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// The waker of the task that waits to read.
    pub(crate) fn take_reader(&mut self) -> Option<Waker> {
        self.reader.waker.take()
    }

    /// The waker of the task that waits to write.
    pub(crate) fn take_writer(&mut self) -> Option<Waker> {
        self.writer.waker.take()
    }

    fn take(&mut self, bytes: &[u8]) {
        let frames = self.decoder.feed(bytes);
        if self.answers_close && frames.iter().any(|frame| frame.opcode == opcode::CLOSE) {
            self.incoming.extend(Frame::close(1000, "").encode(self.peer_masks));
            self.end = Some(Ok(()));
            self.reader.wake();
        }
        self.frames.extend(frames);
    }

    fn write(&mut self, cx: &Context<'_>, slices: &[&[u8]]) -> Poll<io::Result<usize>> {
        assert!(!self.shut_down, "written after the shutdown");
        self.counts.polls += 1;
        if self.stalls
            && let Some(stalled) = self.writer.stall(cx)
        {
            return stalled;
        }
        match self.write_fault {
            Some(Some(kind)) => return Poll::Ready(Err(kind.into())),
            Some(None) => return Poll::Ready(Ok(0)),
            None => {}
        }
        let room = self.window.min(self.write_size);
        if room == 0 {
            return self.writer.wait(cx);
        }
        let bytes: Vec<u8> = slices.concat();
        let n = room.min(bytes.len());
        self.window = self.window.saturating_sub(n);
        self.counts.writes += 1;
        if self.needs_flush {
            self.unflushed.extend_from_slice(&bytes[..n]);
        } else {
            self.take(&bytes[..n]);
        }
        Poll::Ready(Ok(n))
    }
}

impl AsyncRead for TestTransport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        assert!(buf.remaining() > 0, "a read into an empty buffer looks like the end of the stream");
        state.counts.polls += 1;
        if state.stalls
            && let Some(stalled) = state.reader.stall(cx)
        {
            return stalled;
        }
        if state.incoming.is_empty() {
            return match &state.end {
                Some(Ok(())) => Poll::Ready(Ok(())),
                Some(Err(error)) => Poll::Ready(Err(error.kind().into())),
                None => state.reader.wait(cx),
            };
        }
        let n = state.incoming.len().min(state.read_size).min(buf.remaining());
        let bytes: Vec<u8> = state.incoming.drain(..n).collect();
        buf.put_slice(&bytes);
        state.counts.reads += 1;
        state.counts.bytes_read += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TestTransport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.state().write(cx, &[bytes])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.state().write(cx, &slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        // A flush stalls but is never interrupted.
        if state.stalls && matches!(state.writer.stall::<()>(cx), Some(Poll::Pending)) {
            return Poll::Pending;
        }
        if let Some(kind) = state.flush_fault {
            return Poll::Ready(Err(kind.into()));
        }
        let bytes = std::mem::take(&mut state.unflushed);
        state.take(&bytes);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().shut_down = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for TestTransport {
    fn drop(&mut self) {
        self.state().dropped = true;
    }
}
