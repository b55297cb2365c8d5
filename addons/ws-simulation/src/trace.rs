//! The last steps of a run, for debugging.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use ws_proto::{CloseCode, Completion, MessageKind};

/// One end of one connection: side 0 is the client, side 1 the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) pair: usize,
    pub(crate) side: usize,
}

/// One step. Payloads appear only with their length.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "the fields are printed by `Debug`")]
pub(crate) enum Step {
    Sends { kind: MessageKind, len: usize, accepted: bool },
    Pings { len: usize, accepted: bool },
    Pongs { len: usize, accepted: bool },
    Closes(CloseCode),
    ClosesAndReceives(CloseCode),
    Aborts,
    Fails,
    Pauses,
    Holds,
    Resumes,
    TakesRun,
    PutsBackRun,
    SetsAside,
    Writes(usize),
    Blocked,
    Flushes { passed_on: usize, all: bool },
    Reads(usize),
    ReadsEnd,
    TransportFails,
    Timer,
    GetsMessage(usize),
    GetsPing(usize),
    GetsPong(usize),
    GetsCompletion(Completion),
    GetsClosed { code: u16, clean: bool },
    ShutsDownWrite,
    ClosesTransport,
    Stalls,
    HalfCloses,
    Resets,
    WritesFail,
    FallsSilent,
    TimePasses(Duration),
    TimeJumps(Duration),
    TheEndBegins,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Duration,
    /// The end that acted; `None` for the network and the clock.
    who: Option<At>,
    step: Step,
}

/// The last steps of a simulation; one line each.
#[derive(Debug, Clone)]
pub struct Trace {
    start: Instant,
    most: usize,
    entries: VecDeque<Entry>,
    steps: u64,
}

impl Trace {
    pub(crate) const fn new(start: Instant, most: usize) -> Self {
        Self { start, most, entries: VecDeque::new(), steps: 0 }
    }

    pub(crate) fn push(&mut self, now: Instant, who: Option<At>, step: Step) {
        self.steps += 1;
        if self.most == 0 {
            return;
        }
        if self.entries.len() == self.most {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at: now.duration_since(self.start), who, step });
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { at, who, step } in &self.entries {
            let who = who.map_or_else(String::new, |At { pair, side }| {
                format!("{} {pair} ", ["client", "server"][side])
            });
            writeln!(f, "{:>14.6} s  {who}{step:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
