//! A pair of connected transports that delay as much as their contract permits, and can break it on request.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The maximum number of bytes under way in one direction.
const CAPACITY: usize = 4096;
/// The maximum number of polls in a row that move nothing although they could.
const PATIENCE: u32 = 3;

/// How one end fails from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Read(ErrorKind),
    Write(ErrorKind),
    /// The stream ends, for the reader.
    End,
    /// Writes return 0.
    TakesNothing,
    /// Writes return more than the length of the buffer.
    TakesTooMuch,
}

#[derive(Debug, Default)]
struct Direction {
    bytes: VecDeque<u8>,
    /// Written and not flushed.
    unflushed: VecDeque<u8>,
    ended: bool,
    reader_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct State {
    /// The bytes that end 0 writes, and those that end 1 writes.
    directions: [Direction; 2],
    faults: [Option<Fault>; 2],
    /// The behaviour of each poll, repeated.
    pattern: Vec<u8>,
    next: usize,
    idle_polls: u32,
    buffers: bool,
    /// Wakers of polls that were pending without need.
    delayed: Vec<Waker>,
    polls: usize,
    moved: usize,
}

/// Controls the pair.
#[derive(Debug, Clone)]
pub(super) struct Link(Arc<Mutex<State>>);

/// One end of the pair.
#[derive(Debug)]
pub(super) struct End {
    link: Link,
    side: usize,
}

/// The behaviour of a poll.
enum Behaviour {
    Move(usize),
    Interrupted,
    Wait,
}

impl Link {
    /// `buffers`: written bytes reach the other end only after a flush, as with TLS.
    pub(super) fn new(pattern: Vec<u8>, buffers: bool) -> (Self, [End; 2]) {
        let state = State {
            directions: Default::default(),
            faults: [None; 2],
            pattern,
            next: 0,
            idle_polls: 0,
            buffers,
            delayed: Vec::new(),
            polls: 0,
            moved: 0,
        };
        let link = Self(Arc::new(Mutex::new(state)));
        let ends = [0, 1].map(|side| End { link: link.clone(), side });
        (link, ends)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fail(&self, side: usize, fault: Fault) {
        let mut state = self.state();
        state.faults[side] = Some(fault);
        let wakers = [state.directions[1 - side].reader.take(), state.directions[side].writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Wakes the tasks that were pending without need. Returns whether there were any.
    pub(super) fn release(&self) -> bool {
        let delayed = std::mem::take(&mut self.state().delayed);
        let any = !delayed.is_empty();
        delayed.into_iter().for_each(Waker::wake);
        any
    }

    /// The number of polls, and of the bytes that they moved.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.polls, state.moved)
    }
}

impl State {
    /// The behaviour of a poll that could move bytes. A poll that cannot move any is pending as it should be.
    fn behaviour(&mut self, cx: &Context<'_>) -> Behaviour {
        let byte = self.pattern.get(self.next).copied().unwrap_or(0);
        self.next = (self.next + 1) % self.pattern.len().max(1);
        let behaviour = match byte & 7 {
            3 => {
                cx.waker().wake_by_ref();
                Behaviour::Wait
            }
            4 => {
                self.delayed.push(cx.waker().clone());
                Behaviour::Wait
            }
            5 => Behaviour::Interrupted,
            1 => Behaviour::Move(1),
            2 => Behaviour::Move(usize::from(byte >> 3) + 1),
            6 => {
                cx.waker().wake_by_ref();
                Behaviour::Move(usize::MAX)
            }
            _ => Behaviour::Move(usize::MAX),
        };
        if matches!(behaviour, Behaviour::Move(_)) || self.idle_polls == PATIENCE {
            self.idle_polls = 0;
            return if let Behaviour::Move(_) = behaviour { behaviour } else { Behaviour::Move(1) };
        }
        self.idle_polls += 1;
        behaviour
    }

    fn pass_on(&mut self, side: usize) -> Option<Waker> {
        let direction = &mut self.directions[side];
        let passed = std::mem::take(&mut direction.unflushed);
        direction.bytes.extend(passed);
        direction.reader.take()
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(buffer.remaining() > 0, "a read into nothing looks like the end");
        let mut state = self.link.state();
        state.polls += 1;
        match state.faults[self.side] {
            Some(Fault::Read(kind)) => return Poll::Ready(Err(kind.into())),
            Some(Fault::End) => return Poll::Ready(Ok(())),
            _ => {}
        }
        let direction = &mut state.directions[1 - self.side];
        if direction.bytes.is_empty() {
            if direction.ended {
                return Poll::Ready(Ok(()));
            }
            direction.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = match state.behaviour(cx) {
            Behaviour::Wait => return Poll::Pending,
            Behaviour::Interrupted => return Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Behaviour::Move(most) => most,
        };
        let direction = &mut state.directions[1 - self.side];
        // The task's earlier waker is no longer needed.
        direction.reader = None;
        let n = direction.bytes.len().min(buffer.remaining()).min(most);
        let bytes: Vec<u8> = direction.bytes.drain(..n).collect();
        buffer.put_slice(&bytes);
        let writer = direction.writer.take();
        state.moved += n;
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.link.state();
        state.polls += 1;
        match state.faults[self.side] {
            Some(Fault::Write(kind)) => return Poll::Ready(Err(kind.into())),
            Some(Fault::TakesNothing) => return Poll::Ready(Ok(0)),
            Some(Fault::TakesTooMuch) => return Poll::Ready(Ok(bytes.len() + 7)),
            _ => {}
        }
        let buffers = state.buffers;
        let direction = &mut state.directions[self.side];
        assert!(!direction.ended, "written after the shutdown");
        if direction.reader_is_gone {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY - direction.bytes.len().min(CAPACITY);
        if room == 0 {
            direction.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = match state.behaviour(cx) {
            Behaviour::Wait => return Poll::Pending,
            Behaviour::Interrupted => return Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Behaviour::Move(most) => bytes.len().min(room).min(most),
        };
        let direction = &mut state.directions[self.side];
        direction.writer = None;
        let target = if buffers { &mut direction.unflushed } else { &mut direction.bytes };
        target.extend(&bytes[..n]);
        let reader = if buffers { None } else { direction.reader.take() };
        state.moved += n;
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.link.state();
        state.polls += 1;
        match state.behaviour(cx) {
            Behaviour::Wait => return Poll::Pending,
            Behaviour::Interrupted | Behaviour::Move(_) => {}
        }
        let reader = state.pass_on(self.side);
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.link.state();
        if let Behaviour::Wait = state.behaviour(cx) {
            return Poll::Pending;
        }
        let reader = state.pass_on(self.side);
        state.directions[self.side].ended = true;
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.link.state();
        state.directions[self.side].ended = true;
        state.directions[1 - self.side].reader_is_gone = true;
        let wakers =
            [state.directions[self.side].reader.take(), state.directions[1 - self.side].writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
