//! What surrounds the machines: time, the networks, and who watches.

use std::{
    io::{self, IoSlice},
    time::Instant,
};

use super::{
    dice::Dice,
    fact::Fact,
    network::{Network, Read},
    oracle::Oracle,
    report::Report,
    trace::{At, Step, Trace},
};

/// What lies between the two ends of a connection.
#[derive(Debug)]
pub(super) struct Between {
    pub(super) network: Network,
    pub(super) oracle: Oracle,
}

/// What surrounds the machines.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) trace: Trace,
    /// The network's.
    pub(super) dice: Dice,
    pub(super) between: Vec<Between>,
    pub(super) report: Report,
    /// Whether a side may end a connection by itself: by a limit, or because its application wants that.
    pub(super) may_give_up: bool,
}

impl World {
    pub(super) fn trace(&mut self, at: At, step: Step) {
        self.trace.push(self.now, Some(at), step);
    }

    /// What the network or the clock does.
    pub(super) fn trace_network(&mut self, step: Step) {
        self.trace.push(self.now, None, step);
    }

    pub(super) fn note(&mut self, at: At, fact: Fact<'_>) {
        self.between[at.pair].oracle.note(at.side, fact);
    }

    pub(super) fn accuse(&mut self, at: At, law: impl Into<String>) {
        self.between[at.pair].oracle.accuse(at.side, Err(law.into()));
    }

    pub(super) fn write(&mut self, at: At, slices: &[IoSlice<'_>]) -> Result<usize, io::ErrorKind> {
        self.between[at.pair].network.write(at.side, slices, self.now, &mut self.dice)
    }

    pub(super) fn flush(&mut self, at: At) -> Result<(usize, bool), io::ErrorKind> {
        self.between[at.pair].network.flush(at.side, self.now, &mut self.dice)
    }

    pub(super) fn is_flushed(&self, at: At) -> bool {
        self.between[at.pair].network.is_flushed(at.side)
    }

    pub(super) fn read(&mut self, at: At, target: &mut [u8]) -> Read {
        self.between[at.pair].network.read(at.side, target, self.now, &mut self.dice)
    }
}

/// The first `n` bytes of all slices together.
pub(super) fn first_bytes(slices: &[IoSlice<'_>], n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n);
    for slice in slices {
        let part = slice.len().min(n - bytes.len());
        bytes.extend_from_slice(&slice[..part]);
    }
    bytes
}
