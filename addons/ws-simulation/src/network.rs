//! The network between two connections: a pipe for each direction that delays, splits, blocks and fails as
//! configured.

mod pipe;

use std::{
    io::{ErrorKind, IoSlice},
    time::{Duration, Instant},
};

use ws_proto::SendQueue;

use crate::dice::Dice;

use pipe::{Fate, Pipe};

/// How many of the available bytes one read returns, or one write takes.
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

/// The properties of a pipe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    /// The most bytes in transit.
    pub(crate) capacity: usize,
    pub(crate) delay: Duration,
    pub(crate) reads: Chunking,
    pub(crate) writes: Chunking,
    /// The most bytes that the writer's transport buffers before it sends them, as TLS does; 0 if it has no buffer.
    pub(crate) buffer: usize,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Bytes(usize),
    Nothing,
    End,
    Failed(ErrorKind),
}

/// Both directions. The client writes to the first one.
#[derive(Debug)]
pub(crate) struct Network {
    pipes: [Pipe; 2],
    is_reset: bool,
    /// The sides whose writes fail.
    refuses: [bool; 2],
}

/// The operations of a side: 0 is the client, 1 the server.
impl Network {
    pub(crate) fn new(natures: [Nature; 2]) -> Self {
        Self { pipes: natures.map(Pipe::new), is_reset: false, refuses: [false; 2] }
    }

    /// Takes as many bytes as it can; 0 means that the transport is blocked.
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

    /// Passes on bytes that a transport with a buffer has taken. Returns their number, and whether none is left.
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

    /// Whether a transport with a buffer has passed on all bytes that it took.
    pub(crate) fn is_flushed(&self, side: usize) -> bool {
        self.is_reset || self.refuses[side] || self.pipes[side].is_flushed()
    }

    /// The send queue as `side`'s transport reports it; `None` if the connection is gone.
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

    /// Closes the socket of `side`. As with TCP, bytes that are unread, or arrive later, reset the connection.
    pub(crate) fn close(&mut self, side: usize, now: Instant) {
        self.pipes[side].finish(now);
        self.pipes[1 - side].unread = true;
        self.settle(now);
    }

    /// Resets the connection if bytes have reached a closed socket. Call it whenever time has passed or bytes were
    /// written.
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.pipes.iter().any(|pipe| pipe.unread && pipe.arrived(now) > 0) {
            self.reset();
        }
    }

    /// Drops the bytes in transit. Both sides get an error at their next call.
    pub(crate) fn reset(&mut self) {
        self.is_reset = true;
        self.pipes.iter_mut().for_each(Pipe::lose_all);
    }

    /// Makes writes of `side` fail from now on. Bytes in transit arrive.
    pub(crate) const fn refuse(&mut self, side: usize) {
        self.refuses[side] = true;
    }

    /// Ends the stream of `side`. Bytes that it writes later do not arrive.
    pub(crate) fn half_close(&mut self, side: usize, now: Instant) {
        self.shut_down_write(side, now);
    }

    /// Loses all bytes that `side` has written and will write, without an error on either side.
    pub(crate) fn silence(&mut self, side: usize, blocks: bool) {
        let pipe = &mut self.pipes[side];
        pipe.fate = if blocks { Fate::Stick } else { Fate::Vanish };
        if !blocks {
            pipe.lose_all();
            pipe.end = None;
        }
    }

    /// Delays all bytes of `side` until `until`; `None` means until [`heal`](Self::heal).
    pub(crate) const fn stall(&mut self, side: usize, until: Option<Instant>) {
        self.pipes[side].stall = Some(until);
    }

    /// Ends stalls, and lets a transport with room take all that it is offered.
    pub(crate) fn heal(&mut self) {
        for pipe in &mut self.pipes {
            pipe.stall = None;
            pipe.nature.capacity = pipe.nature.capacity.max(4096);
            (pipe.nature.reads, pipe.nature.writes) = (Chunking::Any, Chunking::Whole);
        }
    }

    /// Whether one of the directions is silent.
    pub(crate) fn is_silent(&self) -> bool {
        !self.is_reset && self.pipes.iter().any(|pipe| pipe.fate != Fate::Arrive)
    }

    pub(crate) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        self.pipes.iter().filter_map(|pipe| pipe.next_arrival(now)).min()
    }
}
