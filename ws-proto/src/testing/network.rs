//! What lies between two machines: a pipe for each direction, that delays, cuts, blocks and fails as it is told.

use std::{
    collections::VecDeque,
    io::{ErrorKind, IoSlice},
    time::{Duration, Instant},
};

use super::dice::Dice;

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

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrive,
    /// They vanish for ever, and the writer sees nothing of it.
    Vanish,
    /// They stay where they are for ever, so that the writer blocks.
    Stick,
}

/// What a pipe is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nature {
    /// Bytes that may be under way.
    pub(super) capacity: usize,
    pub(super) delay: Duration,
    pub(super) reads: Chunking,
    pub(super) writes: Chunking,
}

/// What a read gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    Nothing,
    End,
    Failed(ErrorKind),
}

/// One direction.
#[derive(Debug)]
pub(super) struct Pipe {
    nature: Nature,
    bytes: VecDeque<u8>,
    /// How many of the bytes arrive together, and when.
    flights: VecDeque<(usize, Instant)>,
    /// When the end of the stream arrives, behind all bytes.
    end: Option<Instant>,
    /// Nothing arrives before; `None` inside is until told.
    stall: Option<Option<Instant>>,
    fate: Fate,
    /// Nobody reads any more.
    unread: bool,
    /// How many bytes vanished, and when last.
    swallowed: (Option<Instant>, usize),
}

impl Pipe {
    fn new(nature: Nature) -> Self {
        Self {
            nature,
            bytes: VecDeque::new(),
            flights: VecDeque::new(),
            end: None,
            stall: None,
            fate: Fate::Arrive,
            unread: false,
            swallowed: (None, 0),
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>], now: Instant, dice: &mut Dice) -> usize {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 || (self.nature.writes != Chunking::Whole && dice.percent(3)) {
            return 0;
        }
        let wanted = self.nature.writes.of(offered, dice);
        if self.fate == Fate::Vanish || self.end.is_some() {
            return self.swallow(wanted, now);
        }
        let taken = wanted.min(self.nature.capacity.saturating_sub(self.bytes.len()));
        let mut left = taken;
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            self.bytes.extend(part);
            left -= part.len();
        }
        if taken > 0 {
            self.flights.push_back((taken, now + self.nature.delay));
        }
        taken
    }

    /// What vanishes takes its time too, or whoever sends on and on would never have to wait.
    fn swallow(&mut self, wanted: usize, now: Instant) -> usize {
        if self.swallowed.0 != Some(now) {
            self.swallowed = (Some(now), 0);
        }
        let taken = wanted.min(self.nature.capacity.saturating_sub(self.swallowed.1));
        self.swallowed.1 += taken;
        taken
    }

    fn read(&mut self, target: &mut [u8], now: Instant, dice: &mut Dice) -> Read {
        let arrived = self.arrived(now);
        if arrived == 0 {
            let ended = self.bytes.is_empty() && self.end.is_some_and(|end| end <= now) && self.flows(now);
            return if ended { Read::End } else { Read::Nothing };
        }
        let n = self.nature.reads.of(arrived.min(target.len()), dice);
        let (front, back) = self.bytes.as_slices();
        let from_front = n.min(front.len());
        target[..from_front].copy_from_slice(&front[..from_front]);
        target[from_front..n].copy_from_slice(&back[..n - from_front]);
        self.bytes.drain(..n);
        let mut left = n;
        while let Some((size, _)) = self.flights.front_mut().filter(|_| left > 0) {
            let part = left.min(*size);
            *size -= part;
            left -= part;
            if *size == 0 {
                self.flights.pop_front();
            }
        }
        Read::Bytes(n)
    }

    fn flows(&self, now: Instant) -> bool {
        let stalled = self.stall.is_some_and(|until| until.is_none_or(|until| until > now));
        self.fate != Fate::Stick && !stalled
    }

    fn arrived(&self, now: Instant) -> usize {
        if !self.flows(now) {
            return 0;
        }
        self.flights.iter().take_while(|(_, at)| *at <= now).map(|(size, _)| size).sum()
    }

    /// When there will be something to read that is not there at `now`.
    fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let first = self.flights.front().map(|(_, at)| *at).or(self.end)?;
        let free = match self.stall {
            Some(until) => first.max(until?),
            None => first,
        };
        (self.fate != Fate::Stick && free > now).then_some(free)
    }

    /// The writer's end of the stream. What is written behind it vanishes.
    fn finish(&mut self, now: Instant) {
        self.end.get_or_insert(now + self.nature.delay);
    }
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
        for pipe in &mut self.pipes {
            pipe.bytes.clear();
            pipe.flights.clear();
        }
    }

    /// What `side` writes from now on does not arrive, but the end of the stream does.
    pub(super) fn half_close(&mut self, side: usize, now: Instant) {
        self.shut_down_write(side, now);
    }

    /// What `side` has written and writes is lost for ever, and nobody learns of it.
    pub(super) fn silence(&mut self, side: usize, blocks: bool) {
        self.pipes[side].fate = if blocks { Fate::Stick } else { Fate::Vanish };
        if !blocks {
            self.pipes[side].bytes.clear();
            self.pipes[side].flights.clear();
            self.pipes[side].end = None;
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
