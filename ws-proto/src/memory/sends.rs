use std::collections::VecDeque;

use super::backlog::MESSAGE_OVERHEAD;

/// Whether a send is to have a [`Completion`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notify {
    /// No: the end of the send is not reported.
    #[default]
    No,
    /// Yes: exactly one [`Completion`] from [`Connection::poll_completion`](crate::Connection::poll_completion).
    Yes,
}

impl Notify {
    pub(crate) const fn is_yes(self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// The outcome of a send. The variants are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Completion {
    /// Every byte was handed to the transport.
    Written,
    /// The connection ended first. The peer received none of the message, or only a part.
    CutOff,
}

/// The most bytes between the ends of the first and the last send that share one entry, and so complete together.
const LONGEST_RUN: u64 = 4096;
/// What an entry counts in addition to the encoded bytes: less than a message that waits.
const SEND_OVERHEAD: usize = MESSAGE_OVERHEAD / 2;

/// The data sends of a transmit queue that are not completely written, and those that are not reported.
#[derive(Default)]
pub(super) struct Sends {
    /// Where the sends end, as positions in the stream; without the newest ones.
    ends: VecDeque<Send>,
    /// The newest send, or run of sends. Its count is 0 if there is none.
    newest: Send,
    /// Where the first send of the newest run ends.
    run_start: u64,
    /// The number of sends that all entries stand for.
    pending: usize,
    /// Sends that asked for a report, are written, and are not reported yet.
    completed: u32,
}

/// A send that is not written yet, or a run that did not ask for a report. All but the first of a run are small.
#[derive(Debug, Default, Clone, Copy)]
struct Send {
    /// The position where the last one ends.
    end: u64,
    count: u32,
    notify: Notify,
}

impl Send {
    const NONE: Self = Self { end: 0, count: 0, notify: Notify::No };
}

impl Sends {
    pub(super) const fn new() -> Self {
        Self { ends: VecDeque::new(), newest: Send::NONE, run_start: 0, pending: 0, completed: 0 }
    }

    /// Adds a send that ends at the position `end` and is not written yet.
    #[inline]
    pub(super) fn push(&mut self, end: u64, notify: Notify) {
        self.pending += 1;
        let newest = &mut self.newest;
        let is_reported = notify.is_yes() || newest.notify.is_yes();
        if newest.count > 0 && !is_reported && end - self.run_start <= LONGEST_RUN {
            newest.end = end;
            newest.count += 1;
        } else {
            self.begin(Send { end, count: 1, notify });
        }
    }

    fn begin(&mut self, send: Send) {
        if self.newest.count > 0 {
            self.ends.push_back(self.newest);
        }
        self.run_start = send.end;
        self.newest = send;
    }

    /// Adds a send that is already written.
    #[inline]
    pub(super) fn push_written(&mut self, notify: Notify) {
        self.completed += u32::from(notify.is_yes());
    }

    /// Completes the sends that end within the first `written` bytes of the stream.
    #[inline]
    pub(super) fn complete(&mut self, written: u64) {
        while let Some(send) = self.ends.front().copied().filter(|send| send.end <= written) {
            self.note_written(send);
            self.ends.pop_front();
        }
        if self.newest.count > 0 && self.newest.end <= written {
            self.note_written(self.newest);
            self.newest = Send::NONE;
        }
    }

    /// Completes all pending sends.
    #[inline]
    pub(super) fn complete_all(&mut self) {
        if !self.ends.is_empty() {
            return self.complete(u64::MAX);
        }
        if self.newest.count > 0 {
            self.note_written(self.newest);
            self.newest = Send::NONE;
        }
    }

    #[inline]
    const fn note_written(&mut self, send: Send) {
        self.completed += send.notify.is_yes() as u32;
        self.pending -= send.count as usize;
    }

    /// Drops the pending sends. Returns how many of them asked for a report.
    pub(super) fn cut_off(&mut self) -> usize {
        let cut_off = self.ends.iter().chain([&self.newest]).filter(|send| send.notify.is_yes()).count();
        self.ends.clear();
        self.newest = Send::NONE;
        self.pending = 0;
        cut_off
    }

    /// Takes the report of a written send.
    #[inline]
    pub(super) fn poll_completion(&mut self) -> Option<Completion> {
        self.completed = self.completed.checked_sub(1)?;
        Some(Completion::Written)
    }

    #[inline]
    pub(super) const fn has_completion(&self) -> bool {
        self.completed > 0
    }

    #[inline]
    pub(super) const fn pending(&self) -> usize {
        self.pending
    }

    /// What the pending sends count in addition to their bytes.
    #[inline]
    pub(super) fn overhead(&self) -> usize {
        (self.ends.len() + usize::from(self.newest.count > 0)) * SEND_OVERHEAD
    }

    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.ends.capacity()
    }

    pub(super) fn shrink_to(&mut self, capacity: usize) {
        self.ends.shrink_to(capacity);
    }
}
