use std::{collections::VecDeque, fmt, io::IoSlice, time::Instant};

use bytes::{Buf, Bytes};

use crate::{
    frame::{FrameHeader, MAX_HEADER_LEN, OpCode},
    mask::Mask,
};

use super::{
    sends::{Completion, Notify, Sends},
    spent::Spent,
    traffic::Traffic,
};

mod written;

/// Bytes to send, in order. Headers and small payloads are copied side by side; large payloads stay in place.
///
/// ```text
///  small:   [hdr payload hdr payload hdr]──┐           ┌─[hdr payload …]
///  large:                                  [Bytes …………]┘
/// ```
/// It implements [`Buf`]: write [`chunks_vectored`](Buf::chunks_vectored), then call [`advance`](Buf::advance).
#[derive(Default)]
pub struct TransmitQueue {
    small: Vec<u8>,
    /// The number of bytes of `small` that are written.
    head: usize,
    large: VecDeque<Large>,
    /// Bytes in `large` that other owners share.
    shared: usize,
    sends: Sends,
    /// Bytes ever queued, and ever written.
    queued: u64,
    pub(super) written: u64,
    /// As much of `written` was counted in `traffic`.
    pub(super) counted: u64,
    /// The bytes that waited when `traffic` was taken last.
    pub(super) counted_waiting: u64,
    pub(crate) traffic: Traffic,
    /// Bytes of queued control frames, and the position in the stream where the last one ends. The bytes count until
    /// that frame is written.
    control_bytes: u16,
    control_end: u64,
    blocked_since: Option<Instant>,
    /// Everything is written, but the transport still buffers some of it.
    unflushed: bool,
    /// Scratch memory for data whose length is not known in advance.
    pub(crate) scratch: Vec<u8>,
    pub(super) spent: Spent,
}

/// A payload that is written after `small[..after]`.
struct Large {
    after: usize,
    bytes: Bytes,
    shared: bool,
}

/// Payloads must not reach logs.
impl fmt::Debug for TransmitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransmitQueue")
            .field("len", &self.len())
            .field("pending_sends", &self.sends.pending())
            .field("blocked_since", &self.blocked_since)
            .finish_non_exhaustive()
    }
}

impl TransmitQueue {
    /// Creates an empty queue. It allocates on first use.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            small: Vec::new(),
            head: 0,
            large: VecDeque::new(),
            shared: 0,
            sends: Sends::new(),
            queued: 0,
            written: 0,
            counted: 0,
            counted_waiting: 0,
            traffic: Traffic::NONE,
            control_bytes: 0,
            control_end: 0,
            blocked_since: None,
            unflushed: false,
            scratch: Vec::new(),
            spent: Spent::new(),
        }
    }

    /// Whether no byte waits to be written or flushed.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_written() && !self.unflushed
    }

    /// Whether everything was handed to the transport.
    #[inline]
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.head == self.small.len() && self.large.is_empty()
    }

    /// The number of bytes that wait to be written.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.queued - self.written) as usize
    }

    /// Memory of the bytes that wait to be written, without shared payloads.
    pub(crate) fn held_bytes(&self) -> usize {
        self.len() - self.shared + self.overhead()
    }

    /// What the waiting sends count in addition to their bytes.
    #[inline]
    pub(crate) fn overhead(&self) -> usize {
        self.sends.overhead()
    }

    /// The number of data sends that are not completely written.
    #[must_use]
    pub const fn pending_sends(&self) -> usize {
        self.sends.pending()
    }

    /// Marks the transport as blocked since `now`: it accepts no bytes. While it is blocked, new frames wait in the
    /// connection, where control frames may overtake data. An empty queue is never blocked.
    pub fn set_blocked(&mut self, now: Instant) {
        if !self.is_empty() {
            self.block(now);
        }
    }

    /// A transport with a buffer of its own, such as TLS, holds bytes that it could not pass on, as of `now`. Until
    /// [`set_flushed`](Self::set_flushed), the queue is not empty, and it counts as blocked.
    pub fn set_unflushed(&mut self, now: Instant) {
        self.unflushed = true;
        self.block(now);
    }

    fn block(&mut self, now: Instant) {
        if self.blocked_since.is_none() {
            self.blocked_since = Some(now);
            self.traffic.blocked += 1;
        }
    }

    /// A transport with a buffer of its own has passed on all bytes.
    pub fn set_flushed(&mut self) {
        self.unflushed = false;
        if self.is_written() {
            self.blocked_since = None;
        }
    }

    /// The time since which the transport has accepted no bytes.
    #[must_use]
    pub const fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Takes one report of a completely written send that asked for a report.
    pub fn poll_completion(&mut self) -> Option<Completion> {
        self.sends.poll_completion()
    }

    /// Discards everything. Returns the number of sends that asked for a report and were cut off.
    pub fn abort(&mut self) -> usize {
        let cut_off = self.sends.cut_off();
        self.counted += self.queued - self.written;
        self.written = self.queued;
        self.reset();
        self.spent.settle();
        cut_off
    }

    /// Releases memory after a burst, and keeps `capacity` bytes for reuse.
    #[inline]
    pub fn shrink_to(&mut self, capacity: usize) {
        let sends = capacity / 16;
        if self.small.capacity() > capacity
            || self.large.capacity() > 0
            || self.sends.capacity() > sends
            || self.spent.capacity() > sends
            || self.scratch.capacity() > capacity
        {
            self.small.shrink_to(capacity);
            self.scratch.shrink_to(capacity);
            self.large.shrink_to(0);
            self.sends.shrink_to(sends);
            self.spent.shrink_to(sends);
        }
    }

    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// Whether [`poll_completion`](Self::poll_completion) would return a report.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub const fn has_completion(&self) -> bool {
        self.sends.has_completion()
    }

    pub(crate) const fn control_bytes(&self) -> usize {
        self.control_bytes as usize
    }

    /// Bytes allocated for headers and copied payloads.
    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> usize {
        self.small.capacity()
    }

    /// Appends a header, and reserves room for `more` bytes after it.
    #[inline]
    pub(crate) fn push_header(&mut self, header: &FrameHeader, more: usize) {
        self.small.reserve(MAX_HEADER_LEN + more);
        let before = self.small.len();
        header.append_to(&mut self.small);
        self.queued += (self.small.len() - before) as u64;
    }

    /// Appends a server's frame with a whole message, which is one data send.
    #[inline(always)]
    pub(crate) fn push_message(&mut self, opcode: OpCode, payload: &[u8]) {
        let before = self.small.len();
        FrameHeader::append_message(opcode, payload, &mut self.small);
        self.queued += (self.small.len() - before) as u64;
        self.sends.push(self.queued, Notify::No);
    }

    /// Appends copied bytes.
    #[inline]
    pub(crate) fn push_slice(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
    }

    /// Appends a masked copy.
    pub(crate) fn push_masked(&mut self, mask: &mut Mask, bytes: &[u8]) {
        mask.append(bytes, &mut self.small);
        self.queued += bytes.len() as u64;
    }

    /// Appends bytes in place, without a copy.
    pub(crate) fn push_bytes(&mut self, bytes: Bytes) {
        self.push_large(bytes, false);
    }

    /// As [`push_bytes`](Self::push_bytes), for bytes that other connections send as well.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        self.push_large(bytes, true);
    }

    fn push_large(&mut self, bytes: Bytes, shared: bool) {
        if bytes.is_empty() {
            return;
        }
        self.queued += bytes.len() as u64;
        self.shared += if shared { bytes.len() } else { 0 };
        self.large.push_back(Large { after: self.small.len(), bytes, shared });
    }

    /// Offers everything queued and then `payload` to `write`. The part of the payload that is not taken is copied.
    pub(crate) fn push_through(&mut self, payload: &[u8], write: impl FnOnce(&[IoSlice<'_>]) -> usize) {
        const SLICES: usize = 8;
        let queued = self.len();
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = self.chunks_vectored(&mut slices[..SLICES - 1]);
        let all_offered = slices[..filled].iter().map(|slice| slice.len()).sum::<usize>() == queued;
        slices[filled] = IoSlice::new(payload);
        let taken = if all_offered { write(&slices[..=filled]).min(queued + payload.len()) } else { 0 };
        self.advance(taken.min(queued));
        let (written, rest) = payload.split_at(taken.saturating_sub(queued));
        self.queued += written.len() as u64;
        self.written += written.len() as u64;
        self.push_slice(rest);
    }

    /// Marks the end of a data frame.
    #[inline]
    pub(crate) fn end_send(&mut self, notify: Notify) {
        if self.is_written() {
            // `push_through` has written all of it.
            self.sends.push_written(notify);
        } else {
            self.sends.push(self.queued, notify);
        }
    }

    pub(crate) fn count_control(&mut self, bytes: usize) {
        self.control_bytes = self.control_bytes.saturating_add(bytes as u16);
        self.control_end = self.queued;
    }
}
