//! The environment of the connections: time, the networks, and the oracles that check them.

use std::{
    io::{self, IoSlice},
    time::Instant,
};

use crate::{
    dice::Dice,
    fact::Fact,
    network::{Network, Read},
    oracle::Oracle,
    report::Report,
    trace::{At, Step, Trace},
};

/// The network between the two ends of a connection, and its oracle.
#[derive(Debug)]
pub(crate) struct Between {
    pub(crate) network: Network,
    pub(crate) oracle: Oracle,
}

/// The environment of the connections.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) trace: Trace,
    /// The dice of the network.
    pub(crate) dice: Dice,
    pub(crate) between: Vec<Between>,
    pub(crate) report: Report,
    /// Whether a side may end a connection without the peer: because of a limit, or because its application decides
    /// so.
    pub(crate) may_give_up: bool,
}

impl World {
    pub(crate) fn trace(&mut self, at: At, step: Step) {
        self.trace.push(self.now, Some(at), step);
    }

    /// Records a step of the network or the clock.
    pub(crate) fn trace_network(&mut self, step: Step) {
        self.trace.push(self.now, None, step);
    }

    pub(crate) fn note(&mut self, at: At, fact: Fact<'_>) {
        self.between[at.pair].oracle.note(at.side, fact);
    }

    pub(crate) fn accuse(&mut self, at: At, law: impl Into<String>) {
        self.between[at.pair].oracle.accuse(at.side, Err(law.into()));
    }

    pub(crate) fn write(&mut self, at: At, slices: &[IoSlice<'_>]) -> Result<usize, io::ErrorKind> {
        self.between[at.pair].network.write(at.side, slices, self.now, &mut self.dice)
    }

    pub(crate) fn flush(&mut self, at: At) -> Result<(usize, bool), io::ErrorKind> {
        self.between[at.pair].network.flush(at.side, self.now, &mut self.dice)
    }

    pub(crate) fn is_flushed(&self, at: At) -> bool {
        self.between[at.pair].network.is_flushed(at.side)
    }

    pub(crate) fn read(&mut self, at: At, target: &mut [u8]) -> Read {
        self.between[at.pair].network.read(at.side, target, self.now, &mut self.dice)
    }
}

/// The first `n` bytes of all slices together.
pub(crate) fn first_bytes(slices: &[IoSlice<'_>], n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n);
    for slice in slices {
        let part = slice.len().min(n - bytes.len());
        bytes.extend_from_slice(&slice[..part]);
    }
    bytes
}
