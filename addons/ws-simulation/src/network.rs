//! What lies between two machines: a pipe for each direction, that delays, cuts, blocks and fails as it is told.

mod pipe;

use std::{
    io::{ErrorKind, IoSlice},
    time::{Duration, Instant},
};

use ws_proto::SendQueue;

use crate::dice::Dice;

use pipe::{Fate, Pipe};

/// How many bytes one read gives, or one write takes, of those that could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunking {
    Whole,
    One,
    Few,
    Any,
}

impl Chunking {
    const fn of(self, bytes: usize, dice: &mut Dice) -> usize {
        let most = match self {
            Self::Whole => bytes,
            Self::One => 1,
            Self::Few => dice.between(1, 20),
            Self::Any => dice.between(1, bytes),
        };
        if most < bytes { most } else { bytes }
    }
}

/// What a pipe is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    /// Bytes that may be under way.
    pub(crate) capacity: usize,
    pub(crate) delay: Duration,
    pub(crate) reads: Chunking,
    pub(crate) writes: Chunking,
    /// Bytes that the writer's transport takes before they are on their way, as TLS does; 0 if it has no buffer.
    pub(crate) buffer: usize,
}

/// What a read gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Bytes(usize),
    Nothing,
    End,
    Failed(ErrorKind),
}

/// Both directions; the first one is the client's to write to.
#[derive(Debug)]
pub(crate) struct Network {
    pipes: [Pipe; 2],
    is_reset: bool,
    /// Whose writes fail.
    refuses: [bool; 2],
}

/// The network as one side has it: 0 is the client's, 1 the server's.
impl Network {
    pub(crate) fn new(natures: [Nature; 2]) -> Self {
        Self { pipes: natures.map(Pipe::new), is_reset: false, refuses: [false; 2] }
    }

    /// Takes what it can; 0 is a transport that blocks.
    pub(crate) fn write(
        &mut self,
        side: usize,
        slices: &[IoSlice<'_>],
        now: Instant,
        dice: &mut Dice,
    ) -> Result<usize, ErrorKind> {
        if self.is_reset || self.refuses[side] {
            return Err(ErrorKind::BrokenPipe);
        }
        Ok(self.pipes[side].write(slices, now, dice))
    }

    /// Passes on what a transport with a buffer has taken. How much was passed on, and whether that is all.
    pub(crate) fn flush(
        &mut self,
        side: usize,
        now: Instant,
        dice: &mut Dice,
    ) -> Result<(usize, bool), ErrorKind> {
        if self.is_reset || self.refuses[side] {
            return Err(ErrorKind::BrokenPipe);
        }
        let passed_on = self.pipes[side].flush(now, dice);
        Ok((passed_on, self.pipes[side].is_flushed()))
    }

    /// Whether a transport with a buffer has passed on all that it took.
    pub(crate) fn is_flushed(&self, side: usize) -> bool {
        self.is_reset || self.refuses[side] || self.pipes[side].is_flushed()
    }

    /// What `side`'s transport knows of the bytes that it took; `None` if the connection is gone.
    pub(crate) fn send_queue(&self, side: usize) -> Option<SendQueue> {
        (!self.is_reset).then(|| self.pipes[side].send_queue())
    }

    pub(crate) fn read(&mut self, side: usize, target: &mut [u8], now: Instant, dice: &mut Dice) -> Read {
        if self.is_reset {
            return Read::Failed(ErrorKind::ConnectionReset);
        }
        self.pipes[1 - side].read(target, now, dice)
    }

    pub(crate) fn shut_down_write(&mut self, side: usize, now: Instant) {
        self.pipes[side].finish(now);
    }

    /// `side` closes its socket. As with TCP, what it has not read, or what still comes, resets the connection.
    pub(crate) fn close(&mut self, side: usize, now: Instant) {
        self.pipes[side].finish(now);
        self.pipes[1 - side].unread = true;
        self.settle(now);
    }

    /// Resets what has reached a closed socket; call it whenever time has passed or something was written.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.pipes.iter().any(|pipe| pipe.unread && pipe.arrived(now) > 0) {
            self.reset();
        }
    }

    /// Loses what is under way; both sides learn of it at their next call.
    pub(crate) fn reset(&mut self) {
        self.is_reset = true;
        self.pipes.iter_mut().for_each(Pipe::lose_all);
    }

    /// Writes of `side` fail from now on; what is under way arrives.
    pub(crate) const fn refuse(&mut self, side: usize) {
        self.refuses[side] = true;
    }

    /// What `side` writes from now on does not arrive, but the end of the stream does.
    pub(crate) fn half_close(&mut self, side: usize, now: Instant) {
        self.shut_down_write(side, now);
    }

    /// What `side` has written and writes is lost for ever, and nobody learns of it.
    pub(crate) fn silence(&mut self, side: usize, blocks: bool) {
        let pipe = &mut self.pipes[side];
        pipe.fate = if blocks { Fate::Stick } else { Fate::Vanish };
        if !blocks {
            pipe.lose_all();
            pipe.end = None;
        }
    }

    /// Nothing that `side` wrote arrives before `until`; `None` is until [`heal`](Self::heal).
    pub(crate) const fn stall(&mut self, side: usize, until: Option<Instant>) {
        self.pipes[side].stall = Some(until);
    }

    /// Stalls end, and a transport that has room takes what it is given.
    pub(crate) fn heal(&mut self) {
        for pipe in &mut self.pipes {
            pipe.stall = None;
            pipe.nature.capacity = pipe.nature.capacity.max(4096);
            (pipe.nature.reads, pipe.nature.writes) = (Chunking::Any, Chunking::Whole);
        }
    }

    /// Whether a direction is silent.
    pub(crate) fn is_silent(&self) -> bool {
        !self.is_reset && self.pipes.iter().any(|pipe| pipe.fate != Fate::Arrive)
    }

    pub(crate) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        self.pipes.iter().filter_map(|pipe| pipe.next_arrival(now)).min()
    }
}
