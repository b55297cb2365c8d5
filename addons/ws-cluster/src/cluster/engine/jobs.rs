//! What the engine asks the broker: interest, and parts of logs.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Done, Engine,
    log::{Log, Next},
};
use crate::{
    BackplaneError, History, LogEntry, Position,
    cluster::{local::Local, shared::guarded},
};

/// Most logs that are read at a time.
const MOST_FILLS: usize = 32;

/// Most logs that are read at a time for members that go back further than the local history.
const MOST_REACHES: usize = 8;

/// Most entries of one part of a log.
const PAGE: usize = 128;

/// About the most bytes of one part of a log.
const PAGE_BYTES: usize = 1024 * 1024;

/// For one part of a log.
const DEADLINE: Duration = Duration::from_secs(5);

/// The pause before a log is read again that does not have yet what was announced.
const PAUSE: Duration = Duration::from_millis(50);

/// The most bytes that are read for members that go back further than the local history.
const MOST_REACHED: usize = 8 * 1024 * 1024;

/// A part of a log behind a position, up to the newest entry.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) start: Position,
    /// All entries behind `start` up to this offset are in it.
    pub(super) until: u64,
    pub(super) entries: VecDeque<LogEntry>,
}

/// Logs that are to be read.
#[derive(Debug, Default)]
pub(super) struct Fills {
    queue: VecDeque<Arc<str>>,
    running: usize,
    /// Logs that are to be read from these positions on.
    reaches: VecDeque<(Arc<str>, Position)>,
    reaching: usize,
    /// About how large entries are at the moment, in bytes.
    entry_size: usize,
    paused_until: Option<Instant>,
    failures: u32,
}

impl Fills {
    pub(super) fn push(&mut self, topic: Arc<str>) {
        self.queue.push_back(topic);
    }

    /// The broker can be reached again.
    pub(super) const fn resume(&mut self) {
        self.paused_until = None;
        self.failures = 0;
    }

    /// Notes how large entries are, so that the next part has not too many of them.
    fn note_size(&mut self, history: &History) {
        if let Some(size) = entry_size(history) {
            self.entry_size = size.max(self.entry_size / 2);
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.paused_until.filter(|_| !self.queue.is_empty() || !self.reaches.is_empty())
    }
}

impl<L: Local> Engine<L> {
    /// Reads the topic's log from the newest position that this node has.
    pub(super) fn fill(&mut self, topic: &Arc<str>) {
        let log = self.topics.get_mut(topic).and_then(|tracked| tracked.log.as_mut());
        if log.is_some_and(Log::begin_fill) {
            self.fills.push(Arc::clone(topic));
        }
    }

    pub(super) fn start_fills(&mut self, now: Instant) {
        if self.fills.paused_until.is_some_and(|until| until > now) {
            return;
        }
        self.fills.paused_until = None;
        while self.fills.running < MOST_FILLS {
            let Some(topic) = self.fills.queue.pop_front() else { break };
            self.start_fill(topic);
        }
        while self.fills.reaching < MOST_REACHES {
            let Some((topic, since)) = self.fills.reaches.pop_front() else { break };
            self.start_reach(topic, since);
        }
    }

    fn start_fill(&mut self, topic: Arc<str>) {
        let Some(tracked) = self.topics.get_mut(&topic).filter(|tracked| !tracked.is_reading) else { return };
        let Some(log) = tracked.log.as_ref().filter(|log| log.is_filling()) else { return };
        let (since, generation) = (log.at(), tracked.generation);
        tracked.is_reading = true;
        // Only the newest position matters at first.
        let limit = if since.is_none() { 1 } else { page(self.fills.entry_size) };
        let backplane = Arc::clone(&self.shared.backplane);
        self.fills.running += 1;
        self.jobs.spawn(async move {
            let result = guarded(DEADLINE, async { backplane.history(&topic, since, limit).await }).await;
            Done::Filled { topic, generation, result }
        });
    }

    pub(super) async fn on_done(&mut self, done: Done) {
        match done {
            Done::Watched { batch, result } => self.on_watched(batch, result),
            Done::Filled { topic, generation, result } => {
                self.fills.running -= 1;
                let tracked = self.topics.get_mut(&topic).filter(|tracked| tracked.generation == generation);
                if let Some(tracked) = tracked {
                    tracked.is_reading = false;
                    self.on_filled(topic, result).await;
                }
            }
            Done::Reached { topic, generation, since, result } => {
                self.fills.reaching -= 1;
                if self.topics.get(&topic).is_some_and(|tracked| tracked.generation == generation) {
                    self.on_reached(&topic, since, result);
                }
            }
        }
    }

    async fn on_filled(&mut self, topic: Arc<str>, result: Result<History, BackplaneError>) {
        let history = match result {
            Ok(history) => history,
            Err(BackplaneError::Closed) => return,
            Err(error) => return self.on_fill_failed(topic, &error),
        };
        self.fills.failures = 0;
        self.fills.note_size(&history);
        let Some(filled) = self.with_log(&topic, |log| log.filled(history)) else { return };
        for step in filled.steps {
            self.take_step(&topic, step).await;
        }
        match filled.next {
            Next::Done => self.serve(&topic),
            Next::Again => self.fills.push(topic),
            Next::Later => self.fill_later(topic, PAUSE),
        }
    }

    fn on_fill_failed(&mut self, topic: Arc<str>, error: &BackplaneError) {
        tracing::debug!(topic = &*topic, %error, "a log could not be read");
        if matches!(error, BackplaneError::Refused { .. } | BackplaneError::TopicName { .. }) {
            return self.fill_later(topic, Duration::from_secs(2));
        }
        self.fills.queue.push_front(topic);
        self.pause_fills();
    }

    /// The broker is away or slow: the next would fail too.
    pub(super) fn pause_fills(&mut self) {
        let pause = self.jitter.backoff(self.fills.failures);
        self.fills.failures += 1;
        self.fills.paused_until = Some(Instant::now() + pause);
    }

    fn fill_later(&mut self, topic: Arc<str>, pause: Duration) {
        self.next_generation += 1;
        let at = Instant::now() + self.jitter.of(pause);
        self.later.insert((at, self.next_generation), topic);
    }

    /// Reads the log from further back than the local history.
    pub(super) fn reach(&mut self, topic: &Arc<str>, since: Position) {
        if let Some(tracked) = self.topics.get_mut(topic) {
            tracked.is_reaching = true;
            self.fills.reaches.push_back((Arc::clone(topic), since));
        }
    }

    fn start_reach(&mut self, topic: Arc<str>, since: Position) {
        let Some(generation) = self.topics.get(&topic).map(|tracked| tracked.generation) else { return };
        let mut size = self.fills.entry_size;
        self.fills.reaching += 1;
        let backplane = Arc::clone(&self.shared.backplane);
        self.jobs.spawn(async move {
            let read = async {
                let mut reached = Reached { start: since, until: since.offset, entries: VecDeque::new() };
                let (mut bytes, mut at) = (0, since);
                loop {
                    let history = backplane.history(&topic, Some(at), page(size)).await?;
                    size = entry_size(&history).unwrap_or(size);
                    let is_last = !history.more;
                    let Some(last) = reached.add(history, &mut bytes) else { break };
                    if is_last || last == at {
                        break;
                    }
                    at = last;
                }
                Ok(reached)
            };
            let result = guarded(DEADLINE, read).await;
            Done::Reached { topic, generation, since, result }
        });
    }
}

impl Reached {
    /// Adds a part. Returns the position of its last entry.
    fn add(&mut self, history: History, bytes: &mut usize) -> Option<Position> {
        if history.complete && !history.more && history.newest.epoch == self.start.epoch {
            self.until = history.newest.offset;
        }
        let last = history.entries.last()?.position;
        self.until = self.until.max(last.offset);
        if !history.complete || last.epoch != self.start.epoch {
            // Only what is kept behind a gap.
            self.entries.clear();
            *bytes = 0;
            let first = history.entries.first()?.position;
            self.start = Position { epoch: first.epoch, offset: first.offset.saturating_sub(1) };
            self.until = last.offset;
        }
        *bytes += bytes_of(&history);
        self.entries.extend(history.entries);
        while *bytes > MOST_REACHED {
            let Some(oldest) = self.entries.pop_front() else { break };
            *bytes -= oldest.envelope.len();
            self.start = oldest.position;
        }
        Some(last)
    }
}

/// Entries of the next part, if they are so large.
fn page(entry_size: usize) -> usize {
    (PAGE_BYTES / entry_size.max(1)).clamp(1, PAGE)
}

/// How large the entries are on average.
fn entry_size(history: &History) -> Option<usize> {
    bytes_of(history).checked_div(history.entries.len())
}

fn bytes_of(history: &History) -> usize {
    history.entries.iter().map(|entry| entry.envelope.len()).sum()
}
