//! What a node has of one topic's log, and what it is to do with the next entries. No I/O, no clock.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{GapCause, History, Position};

/// An entry as the broker delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: Position,
    /// The offset of the entry before it, if the broker reports it.
    pub(super) previous: Option<u64>,
    pub(super) envelope: Bytes,
}

/// Reads the log in its order: every entry behind the position that it began at, once, or a gap.
///
/// While the broker's history is read, entries that arrive are held. Once it was read, they are merged.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The newest entry that was given out. `None` until the history was read for the first time.
    at: Option<Position>,
    /// The epoch before that of `at`: its entries come too late.
    left: Option<u64>,
    is_filling: bool,
    /// The history has to be read again.
    is_stale: bool,
    held: VecDeque<Entry>,
    held_bytes: usize,
    /// How often in a row the history was read without any progress.
    stalls: u32,
}

/// What to do with an entry that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// It is the next one.
    Next(Entry),
    /// It was given out before.
    Duplicate,
    /// It is held until the history was read.
    Held,
    /// It is held, and the history must be read: entries in front of it are missing.
    Hole,
}

/// What follows from a part of the history.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) steps: Vec<Step>,
    pub(super) next: Next,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Publications are missing and cannot be had any more. Said in front of what follows them.
    Gap(GapCause),
    /// What follows comes behind this position.
    Reset(Position),
    /// The next entry.
    Append(Entry),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Entries are given out as they arrive.
    Done,
    /// The history must be read again at once.
    Again,
    /// The history must be read again after a pause: the broker does not have yet what it announced.
    Later,
}

/// After this many readings without progress, what is missing is given up.
const MOST_STALLS: u32 = 5;

/// The newest position of a topic without a log, with brokers that draw an epoch only for the first entry.
const NO_LOG: Position = Position { epoch: 0, offset: 0 };

/// What a held entry counts in addition to its envelope, in bytes.
const OVERHEAD: usize = 64;

enum Verdict {
    Duplicate,
    Next,
    Hole,
}

/// The place in front of an entry.
fn before(entry: &Entry) -> Position {
    let Position { epoch, offset } = entry.position;
    let directly_before = offset.saturating_sub(1);
    Position {
        epoch,
        offset: entry.previous.map_or(directly_before, |previous| previous.min(directly_before)),
    }
}

impl Log {
    /// A log that continues behind `at`, or from the moment at which its history is read for the first time.
    pub(super) fn new(at: Option<Position>) -> Self {
        Self { at, ..Self::default() }
    }

    pub(super) const fn at(&self) -> Option<Position> {
        self.at
    }

    pub(super) const fn is_filling(&self) -> bool {
        self.is_filling
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Notes that the history is to be read from [`at`](Self::at). Returns false if it is being read already; then it
    /// is read again afterwards.
    pub(super) const fn begin_fill(&mut self) -> bool {
        self.is_stale = self.is_filling;
        let begins = !self.is_filling;
        self.is_filling = true;
        begins
    }

    /// Takes an entry that arrived.
    pub(super) fn receive(&mut self, entry: Entry) -> Received {
        let verdict = match self.at {
            Some(at) if !self.is_filling => self.judge(at, &entry),
            _ => Verdict::Hole,
        };
        match verdict {
            Verdict::Duplicate => Received::Duplicate,
            Verdict::Next => {
                self.at = Some(entry.position);
                Received::Next(entry)
            }
            Verdict::Hole => {
                self.held_bytes += OVERHEAD + entry.envelope.len();
                self.held.push_back(entry);
                if self.is_filling { Received::Held } else { Received::Hole }
            }
        }
    }

    fn judge(&self, at: Position, entry: &Entry) -> Verdict {
        let Position { epoch, offset } = entry.position;
        if epoch != at.epoch {
            return if self.left == Some(epoch) { Verdict::Duplicate } else { Verdict::Hole };
        }
        if offset <= at.offset {
            return Verdict::Duplicate;
        }
        let previous = entry.previous.unwrap_or(offset - 1);
        if previous <= at.offset { Verdict::Next } else { Verdict::Hole }
    }

    /// Drops what is held, because it is too much. The history has it, and is read again.
    pub(super) fn drop_held(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.is_stale = true;
    }

    /// Takes a part of the history that was read from [`at`](Self::at).
    pub(super) fn filled(&mut self, history: History) -> Filled {
        let mut steps = Vec::new();
        let before = self.at;
        let Some(at) = self.at else {
            let start = self.start(history.newest);
            self.move_to(start, &mut steps);
            return self.merged(steps, true);
        };
        if history.newest.epoch == at.epoch && history.newest.offset < at.offset {
            return self.behind(history.newest);
        }
        let is_more = history.more;
        self.take_history(history, &mut steps);
        let progresses = self.at != before;
        if is_more && progresses {
            self.stalls = 0;
            return Filled { steps, next: Next::Again };
        }
        self.merged(steps, progresses)
    }

    /// Where a log begins: at its newest entry, but not behind an entry that has arrived since the topic is watched.
    fn start(&self, newest: Position) -> Position {
        let first = self.held.iter().find(|entry| entry.position.epoch == newest.epoch);
        match first.map(before) {
            Some(first) if first.offset < newest.offset => first,
            _ => newest,
        }
    }

    fn take_history(&mut self, history: History, steps: &mut Vec<Step>) {
        let Some(at) = self.at else { return };
        let is_same_epoch = history.newest.epoch == at.epoch;
        let has_nothing_new = history.newest == at;
        if !(is_same_epoch && (history.complete || has_nothing_new)) {
            let first = history.entries.iter().find(|entry| entry.position.epoch == history.newest.epoch);
            let start = first.map_or(history.newest, |entry| Position {
                epoch: entry.position.epoch,
                offset: entry.position.offset.saturating_sub(1),
            });
            if at == NO_LOG && start.offset == 0 {
                // The topic's log has begun, and all of it is here.
                self.move_to(start, steps);
            } else {
                let cause = if is_same_epoch { GapCause::Trimmed } else { GapCause::NewEpoch };
                self.reset(start, cause, steps);
            }
        }
        for entry in history.entries {
            let Some(at) = self.at else { return };
            // The broker said that nothing is missing between these.
            if entry.position.epoch == at.epoch && entry.position.offset > at.offset {
                let entry =
                    Entry { position: entry.position, previous: Some(at.offset), envelope: entry.envelope };
                self.give(entry, steps);
            }
        }
    }

    /// The history ends before an entry that was given out: a copy of it that is late, or the broker lost its end.
    fn behind(&mut self, newest: Position) -> Filled {
        self.stalls += 1;
        if self.stalls < MOST_STALLS {
            return Filled { steps: Vec::new(), next: Next::Later };
        }
        let mut steps = Vec::new();
        self.reset(newest, GapCause::Lost, &mut steps);
        self.merged(steps, true)
    }

    /// The history was read to its end: what was held follows.
    fn merged(&mut self, mut steps: Vec<Step>, mut progresses: bool) -> Filled {
        while let Some(entry) = self.held.pop_front() {
            let Some(at) = self.at else { break };
            match self.judge(at, &entry) {
                Verdict::Duplicate => {}
                Verdict::Next => {
                    progresses = true;
                    self.give(entry.clone(), &mut steps);
                }
                Verdict::Hole if self.has_given_up(&mut progresses) => {
                    self.skip_to(entry.clone(), &mut steps)
                }
                Verdict::Hole => {
                    self.held.push_front(entry);
                    return Filled { steps, next: Next::Later };
                }
            }
            self.held_bytes = self.held_bytes.saturating_sub(OVERHEAD + entry.envelope.len());
        }
        self.stalls = 0;
        self.held_bytes = 0;
        if std::mem::take(&mut self.is_stale) {
            return Filled { steps, next: Next::Again };
        }
        self.is_filling = false;
        Filled { steps, next: Next::Done }
    }

    /// Whether to wait no longer for what is missing in front of a held entry.
    const fn has_given_up(&mut self, progresses: &mut bool) -> bool {
        self.stalls = if *progresses { 1 } else { self.stalls + 1 };
        *progresses = false;
        self.stalls >= MOST_STALLS
    }

    /// Continues with an entry although the broker does not have those in front of it.
    fn skip_to(&mut self, entry: Entry, steps: &mut Vec<Step>) {
        if self.at.is_some_and(|at| at.epoch == entry.position.epoch) {
            self.reset(before(&entry), GapCause::Lost, steps);
            self.give(entry, steps);
        } else {
            // The broker's log has another epoch: the entry is from a log that is gone.
            self.left = Some(entry.position.epoch);
            steps.push(Step::Gap(GapCause::NewEpoch));
        }
    }

    fn reset(&mut self, at: Position, cause: GapCause, steps: &mut Vec<Step>) {
        steps.push(Step::Gap(cause));
        self.move_to(at, steps);
    }

    fn move_to(&mut self, at: Position, steps: &mut Vec<Step>) {
        if let Some(before) = self.at.filter(|before| before.epoch != at.epoch) {
            self.left = Some(before.epoch);
        }
        self.at = Some(at);
        steps.push(Step::Reset(at));
    }

    fn give(&mut self, entry: Entry, steps: &mut Vec<Step>) {
        self.at = Some(entry.position);
        steps.push(Step::Append(entry));
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
