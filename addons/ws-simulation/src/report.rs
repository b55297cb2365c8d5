use std::{fmt, ops::AddAssign, time::Duration};

use crate::{oracle::Tally, trace::Trace};

/// The statistics of a simulation, or of several: [`AddAssign`] sums them up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Simulations.
    pub runs: u64,
    /// Connections.
    pub connections: u64,
    /// Steps of the simulations.
    pub steps: u64,
    /// Elapsed virtual time.
    pub time: Duration,
    /// Bytes that were written.
    pub bytes: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were accepted and did not arrive. Their senders were notified.
    pub lost: u64,
    /// Frames with RSV1.
    pub compressed: u64,
    /// Completions of messages that were written.
    pub written: u64,
    /// Completions of messages that were cut off.
    pub cut_off: u64,
    /// Pings that applications received.
    pub pings: u64,
    /// Pongs that applications received.
    pub pongs: u64,
    /// Clean ends of connections; each connection has two ends.
    pub clean: u64,
    /// Ends that were not clean.
    pub not_clean: u64,
    /// Ends that were not clean because of the memory budget.
    pub over_budget: u64,
    /// Times that a transport was blocked.
    pub blocked: u64,
    /// Times that a transport with a buffer could not pass on everything that it had taken.
    pub unflushed: u64,
    /// Deadlines that passed.
    pub timers: u64,
    /// Directions that were stalled for a while.
    pub stalls: u64,
    /// Streams that ended although the writer did not end them.
    pub half_closes: u64,
    /// Connections that were reset.
    pub resets: u64,
    /// Sides whose writes failed from some time on.
    pub failed_writes: u64,
    /// Directions that became silent.
    pub silences: u64,
    /// Connections that an application aborted or failed.
    pub aborts: u64,
    /// Jumps of the clock.
    pub jumps: u64,
    /// Times that the rest of a read was set aside.
    pub set_aside: u64,
    /// Runs of held messages that were taken together.
    pub runs_lent: u64,
    /// Simulations whose connections shared one receive buffer.
    pub shared_buffers: u64,
}

impl Report {
    pub(crate) const fn add(&mut self, tally: Tally) {
        self.connections += 1;
        self.delivered += tally.delivered;
        self.lost += tally.lost;
        self.compressed += tally.compressed;
        self.clean += tally.clean;
        self.not_clean += tally.not_clean;
        self.over_budget += tally.over_budget;
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, more: Self) {
        self.time += more.time;
        let Self { runs, connections, steps, bytes, delivered, lost, compressed, written, cut_off, .. } =
            self;
        let first: [(&mut u64, u64); 9] = [
            (runs, more.runs),
            (connections, more.connections),
            (steps, more.steps),
            (bytes, more.bytes),
            (delivered, more.delivered),
            (lost, more.lost),
            (compressed, more.compressed),
            (written, more.written),
            (cut_off, more.cut_off),
        ];
        first.into_iter().for_each(|(sum, more)| *sum += more);
        let Self { pings, pongs, clean, not_clean, blocked, timers, stalls, half_closes, .. } = self;
        let second: [(&mut u64, u64); 8] = [
            (pings, more.pings),
            (pongs, more.pongs),
            (clean, more.clean),
            (not_clean, more.not_clean),
            (blocked, more.blocked),
            (timers, more.timers),
            (stalls, more.stalls),
            (half_closes, more.half_closes),
        ];
        second.into_iter().for_each(|(sum, more)| *sum += more);
        let Self { resets, silences, aborts, jumps, shared_buffers, over_budget, unflushed, .. } = self;
        self.failed_writes += more.failed_writes;
        self.set_aside += more.set_aside;
        self.runs_lent += more.runs_lent;
        let third: [(&mut u64, u64); 7] = [
            (resets, more.resets),
            (silences, more.silences),
            (aborts, more.aborts),
            (jumps, more.jumps),
            (shared_buffers, more.shared_buffers),
            (over_budget, more.over_budget),
            (unflushed, more.unflushed),
        ];
        third.into_iter().for_each(|(sum, more)| *sum += more);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.time.as_secs() / 86_400;
        writeln!(
            f,
            "{} runs, {} connections, {} steps, {days} days",
            self.runs, self.connections, self.steps
        )?;
        let Self { bytes, delivered, lost, written, cut_off, compressed, pings, pongs, .. } = self;
        writeln!(f, "{bytes} bytes; {delivered} messages arrived, {lost} were lost to faults")?;
        writeln!(f, "{written} completions: written, {cut_off}: cut off; {compressed} compressed frames")?;
        writeln!(f, "{pings} pings, {pongs} pongs; {} ends were clean, {} not", self.clean, self.not_clean)?;
        let Self { blocked, timers, stalls, half_closes, resets, silences, aborts, jumps, .. } = self;
        writeln!(f, "{blocked} blocked writes, {} flushes; {timers} timers", self.unflushed)?;
        write!(f, "{stalls} stalls, {half_closes} half-closes, ")?;
        write!(f, "{resets} resets, {silences} silences, {aborts} aborts, {jumps} time jumps, ")?;
        writeln!(f, "{} failed writes, {} over the memory budget", self.failed_writes, self.over_budget)?;
        write!(f, "{} reads set aside, {} runs lent", self.set_aside, self.runs_lent)
    }
}

/// A violated rule. [`Display`](fmt::Display) shows the seed, the rule, the last steps, and how to repeat the run.
pub struct Failure(pub(crate) Box<Broken>);

pub(crate) struct Broken {
    pub(crate) seed: u64,
    pub(crate) law: String,
    pub(crate) trace: Trace,
    pub(crate) replay: String,
}

impl Failure {
    /// The seed of the simulation.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The violated rule, with the side that violated it.
    #[must_use]
    pub fn law(&self) -> &str {
        &self.0.law
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { seed, law, trace, replay } = &*self.0;
        write!(f, "seed {seed}: {law}\n{trace}repeat with: {replay}")
    }
}

/// As [`Display`](fmt::Display), for `unwrap` and for `main`.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
