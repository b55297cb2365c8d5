//! One direction of the network.

use std::{
    collections::VecDeque,
    io::IoSlice,
    mem,
    time::{Duration, Instant},
};

use ws_proto::SendQueue;

use super::{super::dice::Dice, Chunking, Nature, Read};

/// The fate of written bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrive,
    /// They are lost, and the writer gets no error.
    Vanish,
    /// They are never delivered, so that the writer blocks.
    Stick,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) nature: Nature,
    /// Bytes that the writer's transport has taken and not passed on.
    held: VecDeque<u8>,
    bytes: VecDeque<u8>,
    /// Groups of bytes that arrive together, and when they arrive.
    flights: VecDeque<(usize, Instant)>,
    /// When the end of the stream arrives, after all bytes.
    pub(super) end: Option<Instant>,
    /// Nothing arrives before this time; `None` inside means until the stall is ended.
    pub(super) stall: Option<Option<Instant>>,
    pub(super) fate: Fate,
    /// The reader has closed its socket.
    pub(super) unread: bool,
    /// The number of bytes that were lost at the latest time, and that time.
    swallowed: (Option<Instant>, usize),
    /// Bytes that were read.
    read: u64,
}

impl Pipe {
    pub(super) fn new(nature: Nature) -> Self {
        Self {
            nature,
            held: VecDeque::new(),
            bytes: VecDeque::new(),
            flights: VecDeque::new(),
            end: None,
            stall: None,
            fate: Fate::Arrive,
            unread: false,
            swallowed: (None, 0),
            read: 0,
        }
    }

    /// Takes as many bytes as it can.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>], now: Instant, dice: &mut Dice) -> usize {
        if self.nature.buffer == 0 {
            return self.carry(slices, now, dice);
        }
        if self.held.len() >= self.nature.buffer {
            self.flush(now, dice);
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let taken = offered.min(self.nature.buffer.saturating_sub(self.held.len()));
        self.held.extend(bytes_of(slices).take(taken));
        // Some transports pass on bytes at once, others wait for a flush.
        if dice.percent(50) {
            self.flush(now, dice);
        }
        taken
    }

    /// Passes on bytes that were taken. Returns their number.
    pub(super) fn flush(&mut self, now: Instant, dice: &mut Dice) -> usize {
        let mut held = mem::take(&mut self.held);
        let (front, back) = held.as_slices();
        let passed_on = self.carry(&[IoSlice::new(front), IoSlice::new(back)], now, dice);
        held.drain(..passed_on);
        self.held = held;
        passed_on
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn lose_all(&mut self) {
        self.held.clear();
        self.bytes.clear();
        self.flights.clear();
    }

    fn carry(&mut self, slices: &[IoSlice<'_>], now: Instant, dice: &mut Dice) -> usize {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 || (self.nature.writes != Chunking::Whole && dice.percent(3)) {
            return 0;
        }
        let wanted = self.nature.writes.of(offered, dice);
        if self.fate == Fate::Vanish || self.end.is_some() {
            return self.swallow(wanted, now);
        }
        let taken = wanted.min(self.nature.capacity.saturating_sub(self.bytes.len()));
        self.bytes.extend(bytes_of(slices).take(taken));
        if taken > 0 {
            self.flights.push_back((taken, now + self.nature.delay));
        }
        taken
    }

    /// Lost bytes also take time. Otherwise a writer that never stops would never have to wait.
    fn swallow(&mut self, wanted: usize, now: Instant) -> usize {
        if self.swallowed.0 != Some(now) {
            self.swallowed = (Some(now), 0);
        }
        let taken = wanted.min(self.nature.capacity.saturating_sub(self.swallowed.1));
        self.swallowed.1 += taken;
        taken
    }

    pub(super) fn read(&mut self, target: &mut [u8], now: Instant, dice: &mut Dice) -> Read {
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
        self.read += n as u64;
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

    /// The report of the writer's transport. A peer that only stalls is present; one that is silent is gone.
    pub(super) fn send_queue(&self) -> SendQueue {
        const AGES: Duration = Duration::from_secs(1_000_000);
        let is_gone = self.fate != Fate::Arrive;
        SendQueue {
            acknowledged: self.read,
            unacknowledged: self.bytes.len() as u64 + u64::from(is_gone),
            unanswered: if is_gone { AGES } else { Duration::ZERO },
        }
    }

    fn flows(&self, now: Instant) -> bool {
        let stalled = self.stall.is_some_and(|until| until.is_none_or(|until| until > now));
        self.fate != Fate::Stick && !stalled
    }

    pub(super) fn arrived(&self, now: Instant) -> usize {
        if !self.flows(now) {
            return 0;
        }
        self.flights.iter().take_while(|(_, at)| *at <= now).map(|(size, _)| size).sum()
    }

    /// The next time after `now` at which more can be read.
    pub(super) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let first = self.flights.front().map(|(_, at)| *at).or(self.end)?;
        let free = match self.stall {
            Some(until) => first.max(until?),
            None => first,
        };
        (self.fate != Fate::Stick && free > now).then_some(free)
    }

    /// Ends the stream on the writer's side. Bytes written later are lost.
    pub(super) fn finish(&mut self, now: Instant) {
        self.end.get_or_insert(now + self.nature.delay);
    }
}

fn bytes_of<'a>(slices: &'a [IoSlice<'_>]) -> impl Iterator<Item = u8> + 'a {
    slices.iter().flat_map(|slice| slice.iter().copied())
}
