//! A pair of transports that keep the letter of their contract and not its spirit, and one day break it.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes under way in one direction.
const CAPACITY: usize = 4096;
/// After so many polls that moved nothing although they could have, one does.
const PATIENCE: u32 = 3;

/// How an end of the connection fails, from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Read(ErrorKind),
    Write(ErrorKind),
    /// The stream ends, for the reader.
    End,
    /// Writes take nothing.
    TakesNothing,
    /// Writes say that they took more than there was.
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
    /// What end 0 writes, and what end 1 writes.
    directions: [Direction; 2],
    faults: [Option<Fault>; 2],
    /// What each poll does, again and again.
    pattern: Vec<u8>,
    next: usize,
    impatience: u32,
    buffers: bool,
    /// Who was told to wait although there was no need.
    delayed: Vec<Waker>,
    polls: usize,
    moved: usize,
}

/// The pair, seen from outside.
#[derive(Debug, Clone)]
pub(super) struct Link(Arc<Mutex<State>>);

/// One end of it.
#[derive(Debug)]
pub(super) struct End {
    link: Link,
    side: usize,
}

/// What a poll does.
enum Whim {
    Move(usize),
    Interrupted,
    Wait,
}

impl Link {
    /// `buffers`: what is written reaches the other end only once it is flushed, as with TLS.
    pub(super) fn new(pattern: Vec<u8>, buffers: bool) -> (Self, [End; 2]) {
        let state = State {
            directions: Default::default(),
            faults: [None; 2],
            pattern,
            next: 0,
            impatience: 0,
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

    /// Wakes who was told to wait; whether there was anybody.
    pub(super) fn release(&self) -> bool {
        let delayed = std::mem::take(&mut self.state().delayed);
        let any = !delayed.is_empty();
        delayed.into_iter().for_each(Waker::wake);
        any
    }

    /// How often it was polled, and how many bytes that moved.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.polls, state.moved)
    }
}

impl State {
    /// What a poll does that could move something: where it could not, it waits as it should.
    fn whim(&mut self, cx: &Context<'_>) -> Whim {
        let byte = self.pattern.get(self.next).copied().unwrap_or(0);
        self.next = (self.next + 1) % self.pattern.len().max(1);
        let whim = match byte & 7 {
            3 => {
                cx.waker().wake_by_ref();
                Whim::Wait
            }
            4 => {
                self.delayed.push(cx.waker().clone());
                Whim::Wait
            }
            5 => Whim::Interrupted,
            1 => Whim::Move(1),
            2 => Whim::Move(usize::from(byte >> 3) + 1),
            6 => {
                cx.waker().wake_by_ref();
                Whim::Move(usize::MAX)
            }
            _ => Whim::Move(usize::MAX),
        };
        if matches!(whim, Whim::Move(_)) || self.impatience == PATIENCE {
            self.impatience = 0;
            return if let Whim::Move(_) = whim { whim } else { Whim::Move(1) };
        }
        self.impatience += 1;
        whim
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
        let most = match state.whim(cx) {
            Whim::Wait => return Poll::Pending,
            Whim::Interrupted => return Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Whim::Move(most) => most,
        };
        let direction = &mut state.directions[1 - self.side];
        // Who was told to wait before is not waited for any more.
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
        let n = match state.whim(cx) {
            Whim::Wait => return Poll::Pending,
            Whim::Interrupted => return Poll::Ready(Err(ErrorKind::Interrupted.into())),
            Whim::Move(most) => bytes.len().min(room).min(most),
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
        match state.whim(cx) {
            Whim::Wait => return Poll::Pending,
            Whim::Interrupted | Whim::Move(_) => {}
        }
        let reader = state.pass_on(self.side);
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.link.state();
        if let Whim::Wait = state.whim(cx) {
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
