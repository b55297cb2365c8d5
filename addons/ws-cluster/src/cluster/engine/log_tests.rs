use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Entry, Filled, Log, MOST_STALLS, Next, Received, Step};
use crate::{GapCause, History, LogEntry, Position};

const fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch, offset }
}

fn entry(epoch: u64, offset: u64) -> Entry {
    Entry { position: at(epoch, offset), previous: Some(offset - 1), envelope: Bytes::new() }
}

/// The entries with these offsets of epoch 1.
fn history(offsets: impl IntoIterator<Item = u64>, newest: u64, complete: bool, more: bool) -> History {
    let entries = offsets.into_iter().map(|offset| LogEntry::new(at(1, offset), Bytes::new())).collect();
    History::new(entries, at(1, newest), complete, more)
}

/// A log that has everything up to offset `offset` of epoch 1.
fn current(offset: u64) -> Log {
    let mut log = Log::new(None);
    log.begin_fill();
    let filled = log.filled(history([], offset, true, false));
    assert_eq!(filled, Filled { steps: vec![Step::Reset(at(1, offset))], next: Next::Done });
    log
}

fn appended(filled: &Filled) -> Vec<u64> {
    let offset = |step: &Step| match step {
        Step::Append(entry) => Some(entry.position.offset),
        _ => None,
    };
    filled.steps.iter().filter_map(offset).collect()
}

#[test]
fn entries_that_follow_each_other_are_given_out() {
    let mut log = current(3);
    assert_eq!(log.receive(entry(1, 4)), Received::Next(entry(1, 4)));
    assert_eq!(log.receive(entry(1, 4)), Received::Duplicate);
    assert_eq!(log.receive(entry(1, 2)), Received::Duplicate);
    assert_eq!(log.receive(entry(1, 5)), Received::Next(entry(1, 5)));
}

#[test]
fn offsets_may_be_sparse_if_the_broker_names_the_previous_one() {
    let mut log = current(3);
    let sparse = |offset, previous| Entry { previous: Some(previous), ..entry(1, offset) };
    assert!(matches!(log.receive(sparse(9, 2)), Received::Next(_)));
    assert!(matches!(log.receive(sparse(20, 9)), Received::Next(_)));
    assert_eq!(log.receive(sparse(30, 25)), Received::Hole);
}

#[test]
fn without_the_previous_offset_the_next_number_follows() {
    let mut log = current(3);
    let bare = |offset| Entry { previous: None, ..entry(1, offset) };
    assert!(matches!(log.receive(bare(4)), Received::Next(_)));
    assert_eq!(log.receive(bare(6)), Received::Hole);
}

#[test]
fn a_hole_is_filled_from_the_history_and_what_was_held_follows() {
    let mut log = current(3);
    assert_eq!(log.receive(entry(1, 6)), Received::Hole);
    assert!(log.begin_fill());
    assert_eq!(log.receive(entry(1, 7)), Received::Held);
    let filled = log.filled(history([4, 5, 6], 6, true, false));
    assert_eq!((appended(&filled), filled.next), (vec![4, 5, 6, 7], Next::Done));
    assert_eq!(log.held_bytes(), 0);
}

#[test]
fn a_history_is_read_in_parts() {
    let mut log = current(0);
    log.begin_fill();
    let filled = log.filled(history([1, 2], 3, true, true));
    assert_eq!((appended(&filled), filled.next), (vec![1, 2], Next::Again));
    assert_eq!(log.receive(entry(1, 4)), Received::Held);
    let filled = log.filled(history([3], 3, true, false));
    assert_eq!((appended(&filled), filled.next), (vec![3, 4], Next::Done));
}

#[test]
fn what_arrived_while_the_first_history_was_read_is_given_out() {
    let mut log = Log::new(None);
    log.begin_fill();
    assert_eq!(log.receive(entry(1, 5)), Received::Held);
    assert_eq!(log.receive(entry(1, 6)), Received::Held);
    let filled = log.filled(history([1], 6, true, true));
    assert_eq!(filled.steps[0], Step::Reset(at(1, 4)));
    assert_eq!((appended(&filled), filled.next), (vec![5, 6], Next::Done));
}

#[test]
fn entries_that_are_gone_are_a_gap() {
    let mut log = current(3);
    log.begin_fill();
    let filled = log.filled(history([7, 8], 8, false, false));
    assert_eq!(filled.steps[..2], [Step::Gap(GapCause::Trimmed), Step::Reset(at(1, 6))]);
    assert_eq!((appended(&filled), filled.next), (vec![7, 8], Next::Done));
}

#[test]
fn a_log_that_is_empty_and_has_nothing_new_is_no_gap() {
    let mut log = current(3);
    log.begin_fill();
    assert_eq!(log.filled(history([], 3, false, false)), Filled { steps: vec![], next: Next::Done });
}

#[test]
fn another_epoch_is_a_gap_and_its_entries_follow() {
    let mut log = current(3);
    assert_eq!(log.receive(entry(2, 2)), Received::Hole);
    log.begin_fill();
    let entries = vec![LogEntry::new(at(2, 1), Bytes::new()), LogEntry::new(at(2, 2), Bytes::new())];
    let filled = log.filled(History::new(entries, at(2, 2), false, false));
    assert_eq!(filled.steps[..2], [Step::Gap(GapCause::NewEpoch), Step::Reset(at(2, 0))]);
    assert_eq!((appended(&filled), filled.next), (vec![1, 2], Next::Done));
    assert_eq!(log.receive(entry(1, 4)), Received::Duplicate, "the epoch before");
}

#[test]
fn the_first_entry_of_a_topic_is_no_gap() {
    let mut log = Log::new(None);
    log.begin_fill();
    log.filled(History::new(vec![], at(0, 0), true, false));
    assert_eq!(log.receive(entry(7, 1)), Received::Hole);
    log.begin_fill();
    let filled =
        log.filled(History::new(vec![LogEntry::new(at(7, 1), Bytes::new())], at(7, 1), false, false));
    assert_eq!(filled.steps[0], Step::Reset(at(7, 0)));
    assert_eq!((appended(&filled), filled.next), (vec![1], Next::Done));
}

#[test]
fn a_late_copy_of_the_history_is_read_again() {
    let mut log = current(3);
    assert_eq!(log.receive(entry(1, 5)), Received::Hole);
    log.begin_fill();
    assert_eq!(log.filled(history([], 2, true, false)).next, Next::Later);
    assert_eq!(log.filled(history([], 3, true, false)).next, Next::Later);
    assert_eq!(appended(&log.filled(history([4], 4, true, false))), [4, 5]);
}

#[test]
fn an_end_that_the_broker_has_lost_is_a_gap_after_some_time() {
    let mut log = current(3);
    log.begin_fill();
    for _ in 1..MOST_STALLS {
        assert_eq!(log.filled(history([], 1, true, false)), Filled { steps: vec![], next: Next::Later });
    }
    let filled = log.filled(history([], 1, true, false));
    assert_eq!(filled.steps, [Step::Gap(GapCause::Lost), Step::Reset(at(1, 1))]);
    assert!(matches!(log.receive(entry(1, 2)), Received::Next(_)));
}

#[test]
fn an_entry_that_the_broker_does_not_have_is_a_gap_after_some_time() {
    let mut log = current(3);
    assert_eq!(log.receive(entry(1, 6)), Received::Hole);
    log.begin_fill();
    for _ in 1..MOST_STALLS {
        assert_eq!(log.filled(history([], 3, true, false)).next, Next::Later);
    }
    let filled = log.filled(history([], 3, true, false));
    assert_eq!(filled.steps, [Step::Gap(GapCause::Lost), Step::Reset(at(1, 5)), Step::Append(entry(1, 6))]);
    assert_eq!(filled.next, Next::Done);
}

#[test]
fn what_was_too_much_to_hold_is_read_from_the_history() {
    let mut log = current(3);
    log.receive(entry(1, 5));
    log.begin_fill();
    log.receive(entry(1, 6));
    log.drop_held();
    assert_eq!(log.held_bytes(), 0);
    let filled = log.filled(history([4, 5], 5, true, false));
    assert_eq!((appended(&filled), filled.next), (vec![4, 5], Next::Again));
    assert_eq!(appended(&log.filled(history([6], 6, true, false))), [6]);
}

#[test]
fn a_gap_while_the_history_is_read_makes_it_read_again() {
    let mut log = current(3);
    assert!(log.begin_fill());
    assert!(!log.begin_fill());
    assert_eq!(log.filled(history([], 3, true, false)).next, Next::Again);
    assert_eq!(log.filled(history([4], 4, true, false)).next, Next::Done);
}

/// A broker and the way from it to the log, with faults.
#[derive(Debug, Clone)]
enum Action {
    Publish,
    Deliver,
    Lose,
    Repeat,
    Swap,
    Reconnect,
    Trim,
    Restart,
    LoseNewest,
    DropHeld,
    StartReading,
    EndReading,
}

#[derive(Debug, Default)]
struct Model {
    log: Log,
    epoch: u64,
    first_kept: u64,
    newest: u64,
    on_the_way: VecDeque<Entry>,
    wants_reading: bool,
    reading: Option<History>,
    given: Vec<Position>,
    /// Whether a gap was said since the last entry.
    is_gap: bool,
    may_reuse_offsets: bool,
}

impl Model {
    fn act(&mut self, action: &Action) {
        match action {
            Action::Publish => {
                self.newest += 1;
                self.on_the_way.push_back(entry(self.epoch, self.newest));
            }
            Action::Deliver => {
                let next = self.on_the_way.pop_front();
                next.into_iter().for_each(|entry| self.receive(entry));
            }
            Action::Lose => drop(self.on_the_way.pop_front()),
            Action::Repeat => {
                let next = self.on_the_way.front().cloned();
                next.into_iter().for_each(|entry| self.receive(entry));
            }
            Action::Swap if self.on_the_way.len() > 1 => self.on_the_way.swap(0, 1),
            Action::Swap => {}
            Action::Reconnect => {
                self.on_the_way.clear();
                self.fill();
            }
            Action::Trim => self.first_kept = self.newest.max(1),
            Action::Restart => {
                *self = Self { epoch: self.epoch + 1, first_kept: 1, newest: 0, ..std::mem::take(self) };
                self.fill();
            }
            Action::LoseNewest => {
                self.newest = self.newest.saturating_sub(1);
                self.first_kept = self.first_kept.min(self.newest + 1);
                self.may_reuse_offsets = true;
                // A broker only loses its end when it fails, and what was on its way goes with it.
                self.on_the_way.clear();
                self.fill();
            }
            Action::DropHeld if self.log.is_filling() => self.log.drop_held(),
            Action::DropHeld => {}
            Action::StartReading => self.start_reading(),
            Action::EndReading => self.end_reading(),
        }
    }

    fn fill(&mut self) {
        self.wants_reading |= self.log.begin_fill();
    }

    fn receive(&mut self, entry: Entry) {
        match self.log.receive(entry) {
            Received::Next(entry) => self.give(&entry),
            Received::Hole => self.fill(),
            Received::Duplicate | Received::Held => {}
        }
    }

    fn start_reading(&mut self) {
        if !std::mem::take(&mut self.wants_reading) {
            return;
        }
        let newest = at(self.epoch, self.newest);
        let since = self.log.at().filter(|since| since.epoch == self.epoch).map(|since| since.offset);
        let complete = self.log.at().is_none() || since.is_some_and(|since| since + 1 >= self.first_kept);
        let first = self.first_kept.max(since.unwrap_or(0) + 1);
        let wanted = (first..=self.newest).map(|offset| LogEntry::new(at(self.epoch, offset), Bytes::new()));
        let entries: Vec<_> = wanted.clone().take(3).collect();
        let more = wanted.count() > 3;
        self.reading = Some(History::new(entries, newest, complete, more));
    }

    fn end_reading(&mut self) {
        let Some(history) = self.reading.take() else { return };
        let filled = self.log.filled(history);
        for step in filled.steps {
            match step {
                Step::Gap(_) => self.is_gap = true,
                // Where it begins.
                Step::Reset(position) if self.given.is_empty() => {
                    self.given.push(position);
                    self.is_gap = false;
                }
                Step::Reset(position) => assert!(self.is_gap, "moved to {position} without a gap"),
                Step::Append(entry) => self.give(&entry),
            }
        }
        self.wants_reading = filled.next != Next::Done;
    }

    fn give(&mut self, entry: &Entry) {
        let last = *self.given.last().expect("it has begun");
        let position = entry.position;
        if !std::mem::take(&mut self.is_gap) {
            assert_eq!(
                position,
                at(last.epoch, last.offset + 1),
                "entries follow each other, or there is a gap"
            );
        }
        assert!(position.epoch >= last.epoch, "{position} after {last}");
        let is_later = position.epoch > last.epoch || position.offset > last.offset;
        assert!(is_later || self.may_reuse_offsets, "{position} after {last}");
        self.given.push(position);
    }

    /// Ends all faults, and all reading. What is published then arrives.
    fn settle(&mut self) {
        self.publish_and_deliver();
        self.publish_and_deliver();
        assert_eq!(self.given.last().copied(), self.log.at(), "the last entry was given out");
    }

    fn publish_and_deliver(&mut self) {
        self.newest += 1;
        self.on_the_way.push_back(entry(self.epoch, self.newest));
        for _ in 0..1000 {
            self.act(&Action::Deliver);
            self.act(&Action::StartReading);
            self.act(&Action::EndReading);
        }
        assert!(!self.log.is_filling(), "{self:?}");
        assert_eq!(self.log.at(), Some(at(self.epoch, self.newest)));
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => Just(Action::Publish),
        5 => Just(Action::Deliver),
        1 => Just(Action::Lose),
        1 => Just(Action::Repeat),
        1 => Just(Action::Swap),
        1 => Just(Action::Reconnect),
        1 => Just(Action::Trim),
        1 => Just(Action::Restart),
        1 => Just(Action::LoseNewest),
        1 => Just(Action::DropHeld),
        4 => Just(Action::StartReading),
        4 => Just(Action::EndReading),
    ];
    prop::collection::vec(action, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn each_entry_is_given_out_once_in_order_or_a_gap_is_said(actions in actions()) {
        let mut model = Model { log: Log::new(None), epoch: 1, first_kept: 1, ..Model::default() };
        model.fill();
        for action in &actions {
            model.act(action);
        }
        model.settle();
    }
}
