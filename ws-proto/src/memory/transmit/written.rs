//! How queued bytes are offered to the transport, and leave the queue once they are written.

use std::io::IoSlice;

use bytes::Buf;

use super::TransmitQueue;

/// The number of written bytes from which the remaining bytes are moved over them.
const COMPACT_FROM: usize = 16 * 1024;

impl Buf for TransmitQueue {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        let run = &self.small[self.head..self.run_end()];
        match self.large.front() {
            Some(large) if run.is_empty() => &large.bytes,
            _ => run,
        }
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut from = self.head;
        let mut push = |bytes: &'a [u8]| {
            if !bytes.is_empty() && filled < out.len() {
                out[filled] = IoSlice::new(bytes);
                filled += 1;
            }
        };
        for large in &self.large {
            push(&self.small[from..large.after]);
            push(&large.bytes);
            from = large.after;
        }
        push(&self.small[from..]);
        filled
    }

    /// # Panics
    /// If `n` is greater than [`remaining`](Buf::remaining), as [`Buf`] specifies.
    #[inline]
    fn advance(&mut self, n: usize) {
        if n == self.len() && self.large.is_empty() {
            self.finish_small();
        } else {
            self.advance_in_pieces(n);
        }
    }
}

impl TransmitQueue {
    /// All is written, and it was small.
    fn finish_small(&mut self) {
        self.written = self.queued;
        self.sends.complete_all();
        self.small.clear();
        self.head = 0;
        self.control_bytes = 0;
        self.blocked_since = None;
        self.unflushed = false;
        self.spent.settle();
    }

    fn advance_in_pieces(&mut self, n: usize) {
        assert!(n <= self.len(), "advanced past the end of the queue");
        let mut left = n;
        while left > 0 {
            let run = (self.run_end() - self.head).min(left);
            self.head += run;
            left -= run;
            if left > 0
                && let Some(large) = self.large.front_mut()
            {
                let step = large.bytes.len().min(left);
                large.bytes.advance(step);
                self.shared -= if large.shared { step } else { 0 };
                left -= step;
            }
            if self.large.front().is_some_and(|large| large.bytes.is_empty() && self.head == large.after)
                && let Some(large) = self.large.pop_front()
            {
                self.spent.push(large.bytes);
            }
        }
        self.written += n as u64;
        if n > 0 {
            self.blocked_since = None;
        }
        self.sends.complete(self.written);
        if self.written >= self.control_end {
            self.control_bytes = 0;
        }
        if self.is_written() {
            self.reset();
        } else {
            self.compact();
        }
        self.spent.settle();
    }

    /// Moves the remaining bytes to the front once the larger part is written, so that a queue that never empties
    /// does not grow.
    fn compact(&mut self) {
        let left = self.small.len() - self.head;
        if self.head >= COMPACT_FROM.max(left) {
            self.small.copy_within(self.head.., 0);
            self.small.truncate(left);
            self.large.iter_mut().for_each(|large| large.after -= self.head);
            self.head = 0;
        }
    }

    /// The end, in `small`, of the run that precedes the next large payload.
    fn run_end(&self) -> usize {
        self.large.front().map_or(self.small.len(), |large| large.after)
    }

    pub(super) fn reset(&mut self) {
        self.small.clear();
        for large in self.large.drain(..) {
            self.spent.push(large.bytes);
        }
        self.shared = 0;
        self.head = 0;
        self.control_bytes = 0;
        self.blocked_since = None;
        self.unflushed = false;
    }
}
