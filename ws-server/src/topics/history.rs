//! The numbers of a topic's publications, and those that are kept.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    options::{Beginning, History},
    outcome::Recovered,
    position::Position,
    publication::Publication,
    room::Ledger,
};

/// Entries for which memory stays allocated.
const FEW: usize = 16;

/// The numbers of a topic's publications, and those that are kept:
///
/// ```text
///    1 … gone │ gone+1 … newest │ newest+1 …
///  not kept   │      kept       │ to come
/// ```
pub(super) struct Log {
    /// `None`: nothing is kept.
    limits: Option<History>,
    numbering: Option<Numbering>,
    kept: VecDeque<Kept>,
    /// The size of what is kept.
    bytes: usize,
}

struct Numbering {
    epoch: u64,
    /// The offset of the newest publication.
    newest: u64,
    /// All publications behind this offset are kept.
    gone: u64,
    by_broker: bool,
}

struct Kept {
    since: Instant,
    offset: u64,
    publication: Arc<Publication>,
}

impl Log {
    pub(super) const fn new(limits: Option<History>) -> Self {
        Self { limits, numbering: None, kept: VecDeque::new(), bytes: 0 }
    }

    pub(super) const fn keeps(&self) -> bool {
        self.limits.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The newest position.
    pub(super) fn position(&self) -> Option<Position> {
        let Numbering { epoch, newest, .. } = *self.numbering.as_ref()?;
        Some(Position { epoch, offset: newest })
    }

    /// Whether a broker numbers the publications.
    pub(super) fn is_by_broker(&self) -> bool {
        self.numbering.as_ref().is_some_and(|numbering| numbering.by_broker)
    }

    /// Whether this process numbers the publications, and has published some.
    pub(super) fn is_by_process(&self) -> bool {
        self.numbering.as_ref().is_some_and(|numbering| !numbering.by_broker && numbering.newest > 0)
    }

    /// Begins the numbers in a topic that keeps publications, if they have not begun.
    pub(super) fn begin(&mut self, epoch: impl FnOnce() -> u64) {
        if self.keeps() && self.numbering.is_none() {
            self.numbering = Some(Numbering { epoch: epoch(), newest: 0, gone: 0, by_broker: false });
        }
    }

    /// Begins the numbers at a position of a broker, if nothing was published yet.
    pub(super) fn begin_at(&mut self, position: Position) {
        if !self.is_by_broker() && !self.is_by_process() {
            self.reset(position);
        }
    }

    /// The position of the next publication of this process.
    pub(super) fn next(&mut self) -> Option<Position> {
        let numbering = self.numbering.as_mut()?;
        numbering.newest += 1;
        Some(Position { epoch: numbering.epoch, offset: numbering.newest })
    }

    /// Moves to a position of a broker. All that is kept is dropped.
    pub(super) fn reset(&mut self, to: Position) {
        self.kept = VecDeque::new();
        self.bytes = 0;
        let Position { epoch, offset } = to;
        self.numbering = Some(Numbering { epoch, newest: offset, gone: offset, by_broker: true });
    }

    /// Notes the position of a broker's publication, which comes behind the newest one.
    pub(super) const fn advance(&mut self, to: u64) {
        if let Some(numbering) = &mut self.numbering {
            numbering.newest = to;
        }
    }

    /// Keeps the newest publication, within the limits and, if there is one, the memory budget.
    pub(super) fn keep(&mut self, publication: Arc<Publication>, since: Instant, ledger: Option<&Ledger>) {
        let Some(limits) = self.limits else { return self.keep_none() };
        let Some(offset) = publication.position.map(|position| position.offset) else { return };
        let size = publication.size();
        self.expire(since);
        while !self.kept.is_empty()
            && (self.kept.len() >= limits.messages
                || self.bytes.saturating_add(size) > limits.bytes
                || ledger.is_some_and(|ledger| !ledger.is_within()))
        {
            self.forget_oldest();
        }
        self.kept.push_back(Kept { since, offset, publication });
        self.bytes += size;
        if size > limits.bytes {
            self.forget_oldest();
        }
    }

    /// Puts publications of a broker in front of what is kept: all behind `since`, up to the offset `until`. The limits
    /// cut the oldest off.
    pub(super) fn restore(
        &mut self,
        since: Position,
        until: u64,
        publications: Vec<Arc<Publication>>,
        now: Instant,
        ledger: Option<&Ledger>,
    ) {
        let Some(limits) = self.limits else { return };
        self.begin_at(Position { offset: until.max(since.offset), ..since });
        let Some(Numbering { epoch, gone, by_broker: true, .. }) = self.numbering else { return };
        if epoch != since.epoch || until < gone {
            return;
        }
        // What is restored is dropped with the oldest that is kept.
        let now = self.kept.front().map_or(now, |oldest| oldest.since);
        let mut gone_now = since.offset.min(gone);
        for publication in publications.into_iter().rev() {
            let offset = publication.position.map_or(0, |position| position.offset);
            if offset > gone || offset <= since.offset {
                continue;
            }
            let size = publication.size();
            let is_full = self.kept.len() >= limits.messages
                || self.bytes.saturating_add(size) > limits.bytes
                || ledger.is_some_and(|ledger| !ledger.is_within());
            if is_full {
                gone_now = offset;
                break;
            }
            self.kept.push_front(Kept { since: now, offset, publication });
            self.bytes += size;
        }
        if let Some(numbering) = &mut self.numbering {
            numbering.gone = gone_now;
        }
    }

    /// Whether all publications behind a position are kept.
    pub(super) fn keeps_since(&self, position: Position) -> bool {
        self.numbering.as_ref().is_some_and(|&Numbering { epoch, newest, gone, .. }| {
            epoch == position.epoch && (gone..=newest).contains(&position.offset)
        })
    }

    /// Drops what is too old.
    pub(super) fn expire(&mut self, now: Instant) {
        let Some(History { age, .. }) = self.limits else { return };
        while self.kept.front().is_some_and(|oldest| is_over(oldest.since, age, now)) {
            self.forget_oldest();
        }
    }

    /// The time at which all that is kept now is too old.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let newest = self.kept.back()?;
        newest.since.checked_add(self.limits?.age)
    }

    /// What a subscriber gets that begins at `from`.
    pub(super) fn recover(&self, from: Beginning) -> (Recovered, Vec<Arc<Publication>>) {
        let none = |recovered| (recovered, Vec::new());
        let Some(Numbering { epoch, newest, gone, .. }) = self.numbering else {
            return none(Recovered::NoHistory);
        };
        let from = match from {
            Beginning::Position(position) => position,
            Beginning::Oldest => Position { epoch, offset: gone },
        };
        if from.epoch != epoch {
            return none(Recovered::OtherEpoch);
        }
        if from.offset > newest {
            return none(Recovered::Ahead);
        }
        let first = self.kept.partition_point(|kept| kept.offset <= from.offset);
        let behind: Vec<_> = self.kept.range(first..).map(|kept| Arc::clone(&kept.publication)).collect();
        let messages = behind.len();
        let recovered =
            if from.offset >= gone { Recovered::All { messages } } else { Recovered::Gap { messages, gone } };
        (recovered, behind)
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.kept.pop_front() else { return };
        self.bytes -= oldest.publication.size();
        if let Some(numbering) = &mut self.numbering {
            numbering.gone = oldest.offset;
        }
        if self.kept.is_empty() && self.kept.capacity() > FEW {
            drop(mem::take(&mut self.kept));
        }
    }

    /// The newest publication is numbered and not kept.
    pub(super) const fn keep_none(&mut self) {
        if let Some(numbering) = &mut self.numbering {
            numbering.gone = numbering.newest;
        }
    }
}

fn is_over(since: Instant, age: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) >= age
}
