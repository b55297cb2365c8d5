//! What a backplane reports, and the bounded queue that it reports through.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::Position;

/// What a [`Backplane`](crate::Backplane) reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackplaneEvent {
    /// A live publication of any node, this one included.
    Live {
        /// The topic.
        topic: Arc<str>,
        /// What was published.
        envelope: Bytes,
    },
    /// An entry of a topic's log, of any node, this one included. Entries of one topic come in the order of their
    /// offsets, except after [`Up`](Self::Up).
    Logged {
        /// The topic.
        topic: Arc<str>,
        /// The position that the broker gave it.
        position: Position,
        /// The offset of the entry before it in this topic, if the broker reports it.
        previous: Option<u64>,
        /// What was published.
        envelope: Bytes,
    },
    /// The connection to the broker is lost. Publications of other nodes may be missed from now on.
    Down,
    /// The connection is back, and all topics are watched again. Logged topics must be read from their last position.
    Up,
    /// Publications of these topics may have been missed. With [`GapCause::Disconnected`] between [`Down`](Self::Down)
    /// and [`Up`](Self::Up), they are watched again, and `Up` is no gap of these topics.
    Gap {
        /// The topics.
        topics: Topics,
        /// Why.
        cause: GapCause,
    },
}

/// The topics that an event concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// Every topic that is watched.
    All,
    /// These topics.
    Some(Vec<Arc<str>>),
}

/// Why publications may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapCause {
    /// The connection to the broker was lost for a while.
    Disconnected,
    /// This node does not process its events fast enough, so some were dropped.
    Overflow,
    /// The broker, or its client library, dropped messages because this node was too slow.
    SlowConsumer,
    /// The broker moved topics to another of its nodes.
    Moved,
    /// The broker keeps the missing entries of the log no more.
    Trimmed,
    /// The broker lost the topic's log and began a new one.
    NewEpoch,
    /// The broker does not have entries of the log that it had announced or delivered.
    Lost,
    /// A publication came in a format that this node cannot read.
    Unreadable,
    /// The topics of this process refused a publication, because of their limits.
    Refused,
}

/// The sending half of a bounded queue of events, for implementations of [`Backplane`](crate::Backplane). It never
/// waits.
///
/// Publications beyond the limit are dropped and replaced by one [`BackplaneEvent::Gap`] with
/// [`GapCause::Overflow`] in their place, so a loss is never silent.
///
/// All other events are added also beyond the limit. Those that no publication separates are merged: gaps of the same
/// cause become one, and of alternating [`Down`](BackplaneEvent::Down) and [`Up`](BackplaneEvent::Up) at most two are
/// left. So the queue is bounded, even if the connection is lost again and again while the reader does not read.
#[derive(Debug, Clone)]
pub struct EventQueue {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

/// The receiving half. Dropping it discards all events.
#[derive(Debug)]
pub struct BackplaneEvents(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    limit: usize,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<BackplaneEvent>,
    bytes: usize,
    is_closed: bool,
}

/// Closes the queue once the last sender is dropped.
#[derive(Debug)]
struct Alive(Arc<Shared>);

/// What an event counts in addition to its topic and envelope, in bytes.
const OVERHEAD: usize = 128;
/// The most topics that are named when events are merged. Beyond that, all topics are concerned.
const MOST_NAMED: usize = 256;

impl EventQueue {
    /// A queue that holds up to `limit` bytes: topics, envelopes, and 128 bytes per event.
    #[must_use]
    pub fn new(limit: usize) -> (Self, BackplaneEvents) {
        let shared = Arc::new(Shared { state: Mutex::default(), limit, changed: Notify::new() });
        let alive = Arc::new(Alive(Arc::clone(&shared)));
        (Self { shared: Arc::clone(&shared), _alive: alive }, BackplaneEvents(shared))
    }

    /// Adds an event, or notes that one was dropped.
    pub fn push(&self, event: BackplaneEvent) {
        let dropped = self.shared.lock().push(event, self.shared.limit);
        drop(dropped);
        self.shared.changed.notify_one();
    }
}

impl State {
    /// Returns the event if it was not added, so that it is dropped without the lock.
    fn push(&mut self, event: BackplaneEvent, limit: usize) -> Option<BackplaneEvent> {
        if self.is_closed {
            return Some(event);
        }
        match event {
            BackplaneEvent::Down | BackplaneEvent::Up => self.push_link(event),
            BackplaneEvent::Gap { topics, cause } => self.push_gap(topics, cause),
            BackplaneEvent::Live { ref topic, .. } | BackplaneEvent::Logged { ref topic, .. } => {
                if self.bytes.saturating_add(size_of(&event)) > limit {
                    self.push_gap(Topics::Some(vec![Arc::clone(topic)]), GapCause::Overflow);
                    return Some(event);
                }
                self.append(event);
            }
        }
        None
    }

    fn pop(&mut self) -> Option<BackplaneEvent> {
        let event = self.events.pop_front()?;
        self.bytes -= size_of(&event);
        Some(event)
    }

    fn append(&mut self, event: BackplaneEvent) {
        self.bytes += size_of(&event);
        self.events.push_back(event);
    }

    /// Where the events behind the last publication begin. They are few, because they are merged.
    fn behind_publications(&self) -> usize {
        let few = self.events.iter().rev().take_while(|event| !is_publication(event)).count();
        self.events.len() - few
    }

    /// Adds `Down` or `Up`. If the same was reported since the last publication, the opposite that came in between is
    /// removed instead: the reader then knows the same, and no publication came from which it could tell.
    fn push_link(&mut self, event: BackplaneEvent) {
        let start = self.behind_publications();
        let Some(earlier) = self.events.range(start..).position(|other| *other == event) else {
            return self.append(event);
        };
        let between = start + earlier + 1;
        let is_opposite = |other: &BackplaneEvent| matches!(other, BackplaneEvent::Down | BackplaneEvent::Up);
        if let Some(opposite) = self.events.range(between..).position(is_opposite) {
            self.bytes -= OVERHEAD;
            self.events.remove(between + opposite);
        }
    }

    /// Adds a gap, to one of the same cause if there is one since the last publication.
    fn push_gap(&mut self, topics: Topics, cause: GapCause) {
        let start = self.behind_publications();
        let of_cause = self.events.range_mut(start..).find_map(|event| match event {
            BackplaneEvent::Gap { topics, cause: other } if *other == cause => Some(topics),
            _ => None,
        });
        match of_cause {
            Some(named) => {
                self.bytes -= named.size();
                named.merge(topics);
                self.bytes += named.size();
            }
            None => self.append(BackplaneEvent::Gap { topics, cause }),
        }
    }
}

impl Topics {
    fn merge(&mut self, more: Self) {
        let is_complete = match (&mut *self, more) {
            (Self::Some(named), Self::Some(more)) => add_names(named, more),
            _ => false,
        };
        if !is_complete {
            *self = Self::All;
        }
    }

    /// The bytes that it counts in a queue.
    fn size(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Some(named) => named.iter().map(|name| std::mem::size_of::<Arc<str>>() + name.len()).sum(),
        }
    }
}

/// Adds names that are not there yet. Returns false if that would be too many.
fn add_names(named: &mut Vec<Arc<str>>, more: Vec<Arc<str>>) -> bool {
    if *named == more {
        return true;
    }
    if named.len().max(more.len()) > MOST_NAMED {
        return false;
    }
    for name in more {
        if !named.contains(&name) {
            named.push(name);
        }
    }
    named.len() <= MOST_NAMED
}

const fn is_publication(event: &BackplaneEvent) -> bool {
    matches!(event, BackplaneEvent::Live { .. } | BackplaneEvent::Logged { .. })
}

fn size_of(event: &BackplaneEvent) -> usize {
    OVERHEAD
        + match event {
            BackplaneEvent::Live { topic, envelope } | BackplaneEvent::Logged { topic, envelope, .. } => {
                topic.len() + envelope.len()
            }
            BackplaneEvent::Gap { topics, .. } => topics.size(),
            BackplaneEvent::Down | BackplaneEvent::Up => 0,
        }
}

impl BackplaneEvents {
    /// Returns the next event. `None` once the backplane is gone.
    ///
    /// # Cancel safety
    /// No event is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<BackplaneEvent> {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.0.lock();
                if let Some(event) = state.pop() {
                    return Some(event);
                }
                if state.is_closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The next event, if there is one.
    pub(crate) fn try_recv(&mut self) -> Option<BackplaneEvent> {
        self.0.lock().pop()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl Drop for BackplaneEvents {
    fn drop(&mut self) {
        let events = {
            let mut state = self.0.lock();
            state.is_closed = true;
            std::mem::take(&mut state.events)
        };
        drop(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10 * (OVERHEAD + 1);

    fn gap(topics: &[&str], cause: GapCause) -> BackplaneEvent {
        BackplaneEvent::Gap {
            topics: Topics::Some(topics.iter().map(|&topic| topic.into()).collect()),
            cause,
        }
    }

    fn live(topic: &str) -> BackplaneEvent {
        BackplaneEvent::Live { topic: topic.into(), envelope: Bytes::new() }
    }

    /// What a reader gets of `pushed` when it comes later.
    fn read_after(pushed: impl IntoIterator<Item = BackplaneEvent>) -> Vec<BackplaneEvent> {
        let (queue, events) = EventQueue::new(LIMIT);
        pushed.into_iter().for_each(|event| queue.push(event));
        let mut state = events.0.lock();
        let events: Vec<_> = std::mem::take(&mut state.events).into();
        assert_eq!(state.bytes, events.iter().map(size_of).sum::<usize>());
        events
    }

    #[test]
    fn what_a_flapping_broker_reports_to_a_reader_that_never_reads_is_bounded() {
        use BackplaneEvent::{Down, Up};
        for publications in [0, 1, 2] {
            let flap = |number: usize| {
                let names = [format!("a{number}"), "b".to_owned()];
                let names: Vec<_> = names.iter().map(|name| &**name).collect();
                let mut events =
                    vec![Up, gap(&names, GapCause::Moved), gap(&["b"], GapCause::Disconnected), Down];
                events.extend((0..publications).map(|_| live("a")));
                events
            };
            let events = read_after((0..10_000).flat_map(flap));
            assert!(events.len() <= 20, "{publications}: {}", events.len());
            let bytes: usize = events.iter().map(size_of).sum();
            assert!(bytes <= LIMIT + 2 * MOST_NAMED * 24, "{publications}: {bytes} bytes");
        }
    }

    #[test]
    fn the_link_is_in_the_end_as_it_was_reported_last() {
        use BackplaneEvent::{Down, Up};
        assert_eq!(read_after([Up, Up]), [Up]);
        assert_eq!(read_after([Up, Down]), [Up, Down]);
        assert_eq!(read_after([Up, Down, Up]), [Up]);
        assert_eq!(read_after([Up, Down, Up, Down]), [Up, Down]);
        assert_eq!(read_after([Down, Up, Down]), [Down]);
        assert_eq!(read_after([Down, Up, Down, Up]), [Down, Up]);
    }

    #[test]
    fn events_are_not_merged_across_a_publication() {
        use BackplaneEvent::{Down, Up};
        let events =
            [Up, Down, live("a"), Up, gap(&["a"], GapCause::Moved), live("a"), gap(&["a"], GapCause::Moved)];
        assert_eq!(read_after(events.clone()), events);
    }

    #[test]
    fn gaps_of_one_cause_become_one_with_all_their_topics() {
        let moved = |topics: &[&str]| gap(topics, GapCause::Moved);
        let events = [moved(&["a", "b"]), gap(&["a"], GapCause::Lost), moved(&["b", "c"]), moved(&["a"])];
        assert_eq!(read_after(events), [moved(&["a", "b", "c"]), gap(&["a"], GapCause::Lost)]);
        let all = BackplaneEvent::Gap { topics: Topics::All, cause: GapCause::Moved };
        assert_eq!(read_after([moved(&["a"]), all.clone(), moved(&["b"])]), std::slice::from_ref(&all));
        let many: Vec<_> = (0..=MOST_NAMED).map(|number| number.to_string()).collect();
        assert_eq!(read_after(many.iter().map(|name| moved(&[name]))), std::slice::from_ref(&all));
        let many: Vec<_> = many.iter().map(|name| &**name).collect();
        assert_eq!(read_after([moved(&many), moved(&many)]), [moved(&many)]);
        assert_eq!(read_after([moved(&many), moved(&["other"])]), [all]);
    }
}
