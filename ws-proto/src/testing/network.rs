//! What lies between two machines: a pipe for each direction, that delays, cuts, blocks and fails as it is told.

mod pipe;

use std::{
    io::{ErrorKind, IoSlice},
    time::{Duration, Instant},
};

use crate::connection::SendQueue;

use super::dice::Dice;

use pipe::{Fate, Pipe};

/// How many bytes one read gives, or one write takes, of those that could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunking {
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
pub(super) struct Nature {
    /// Bytes that may be under way.
    pub(super) capacity: usize,
    pub(super) delay: Duration,
    pub(super) reads: Chunking,
    pub(super) writes: Chunking,
    /// Bytes that the writer's transport takes before they are on their way, as TLS does; 0 if it has no buffer.
    pub(super) buffer: usize,
}

/// What a read gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    Nothing,
    End,
    Failed(ErrorKind),
}

/// Both directions; the first one is the client's to write to.
#[derive(Debug)]
pub(super) struct Network {
    pipes: [Pipe; 2],
    is_reset: bool,
}

/// The network as one side has it: 0 is the client's, 1 the server's.
impl Network {
    pub(super) fn new(natures: [Nature; 2]) -> Self {
        Self { pipes: natures.map(Pipe::new), is_reset: false }
    }

    /// Takes what it can; 0 is a transport that blocks.
    pub(super) fn write(
        &mut self,
        side: usize,
        slices: &[IoSlice<'_>],
        now: Instant,
        dice: &mut Dice,
    ) -> Result<usize, ErrorKind> {
        if self.is_reset {
            return Err(ErrorKind::BrokenPipe);
        }
        Ok(self.pipes[side].write(slices, now, dice))
    }

    /// Passes on what a transport with a buffer has taken. How much was passed on, and whether that is all.
    pub(super) fn flush(
        &mut self,
        side: usize,
        now: Instant,
        dice: &mut Dice,
    ) -> Result<(usize, bool), ErrorKind> {
        if self.is_reset {
            return Err(ErrorKind::BrokenPipe);
        }
        let passed_on = self.pipes[side].flush(now, dice);
        Ok((passed_on, self.pipes[side].is_flushed()))
    }

    /// Whether a transport with a buffer has passed on all that it took.
    pub(super) fn is_flushed(&self, side: usize) -> bool {
        self.is_reset || self.pipes[side].is_flushed()
    }

    /// What `side`'s transport knows of the bytes that it took; `None` if the connection is gone.
    pub(super) fn send_queue(&self, side: usize) -> Option<SendQueue> {
        (!self.is_reset).then(|| self.pipes[side].send_queue())
    }

    pub(super) fn read(&mut self, side: usize, target: &mut [u8], now: Instant, dice: &mut Dice) -> Read {
        if self.is_reset {
            return Read::Failed(ErrorKind::ConnectionReset);
        }
        self.pipes[1 - side].read(target, now, dice)
    }

    pub(super) fn shut_down_write(&mut self, side: usize, now: Instant) {
        self.pipes[side].finish(now);
    }

    /// `side` closes its socket. As with TCP, what it has not read, or what still comes, resets the connection.
    pub(super) fn close(&mut self, side: usize, now: Instant) {
        self.pipes[side].finish(now);
        self.pipes[1 - side].unread = true;
        self.settle(now);
    }

    /// Resets what has reached a closed socket; call it whenever time has passed or something was written.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.pipes.iter().any(|pipe| pipe.unread && pipe.arrived(now) > 0) {
            self.reset();
        }
    }

    /// Loses what is under way; both sides learn of it at their next call.
    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.pipes.iter_mut().for_each(Pipe::lose_all);
    }

    /// What `side` writes from now on does not arrive, but the end of the stream does.
    pub(super) fn half_close(&mut self, side: usize, now: Instant) {
        self.shut_down_write(side, now);
    }

    /// What `side` has written and writes is lost for ever, and nobody learns of it.
    pub(super) fn silence(&mut self, side: usize, blocks: bool) {
        let pipe = &mut self.pipes[side];
        pipe.fate = if blocks { Fate::Stick } else { Fate::Vanish };
        if !blocks {
            pipe.lose_all();
            pipe.end = None;
        }
    }

    /// Nothing that `side` wrote arrives before `until`; `None` is until [`heal`](Self::heal).
    pub(super) const fn stall(&mut self, side: usize, until: Option<Instant>) {
        self.pipes[side].stall = Some(until);
    }

    /// Stalls end, and a transport that has room takes what it is given.
    pub(super) fn heal(&mut self) {
        for pipe in &mut self.pipes {
            pipe.stall = None;
            pipe.nature.capacity = pipe.nature.capacity.max(4096);
            (pipe.nature.reads, pipe.nature.writes) = (Chunking::Any, Chunking::Whole);
        }
    }

    /// Whether a direction is silent.
    pub(super) fn is_silent(&self) -> bool {
        !self.is_reset && self.pipes.iter().any(|pipe| pipe.fate != Fate::Arrive)
    }

    pub(super) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        self.pipes.iter().filter_map(|pipe| pipe.next_arrival(now)).min()
    }
}
