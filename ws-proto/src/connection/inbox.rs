//! Messages, pings and pongs received while the application is paused, and the end that follows them.

use std::{
    collections::VecDeque,
    mem,
    ops::{Deref, Range},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    close::CloseFrame,
    error::ConnectionError,
    frame::{FrameHeader, MAX_HEADER_LEN, OpCode},
    memory::{MESSAGE_OVERHEAD, PooledBuffer, ReceiveBuffer},
    message::MessageKind,
};

use super::lease::Lease;

/// The end of the incoming messages.
#[derive(Debug)]
pub(super) enum End {
    PeerClose(CloseFrame),
    Failure(ConnectionError),
}

/// Assembled messages shorter than this are packed too. As entries of their own they would take more memory than their
/// payloads.
pub(super) const PACKED_BELOW: usize = 1024;

/// The fewest messages, if they are of equal size, that are worth being taken as a run.
const SEVERAL: usize = 4;

/// A message that shares the receive window that it arrived in pins at most this many times its size.
const PINS_AT_MOST: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    held: VecDeque<Held>,
    /// Bytes of everything held: headers of packed messages, the overhead of each entry, and payloads.
    bytes: usize,
    /// Bytes allocated beyond that.
    spare: usize,
    /// What the run that was taken last counts: it is still held.
    lent: Size,
    /// Shared with that run while it counts.
    lease: Option<Lease>,
    /// The held end and its deadline. It takes effect after the held messages are delivered, or at the deadline.
    pub(super) end: Option<(End, Instant)>,
}

/// What an entry counts.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    bytes: usize,
    spare: usize,
}

/// Small messages and control frames are packed side by side as frames with unmasked payloads, so that holding one
/// takes no more memory than it took on the wire. Larger assembled messages are moved.
#[derive(Debug)]
pub(super) enum Held {
    Packed { frames: Frames, read: usize },
    Message(MessageKind, PooledBuffer),
}

/// Where packed frames are.
#[derive(Debug)]
pub(super) enum Frames {
    Copied(Vec<u8>),
    /// In the receive window that they arrived in. Most of it is theirs.
    Window(PooledBuffer),
    /// The same, once the application has messages that share the window.
    Shared {
        window: Bytes,
        capacity: usize,
    },
    /// In the receive buffer itself, up to `end`. Only a run that was taken has it.
    Buffer {
        rx: Box<ReceiveBuffer>,
        end: usize,
    },
}

impl Frames {
    fn capacity(&self) -> usize {
        match self {
            Self::Copied(frames) => frames.capacity(),
            Self::Window(frames) => frames.capacity(),
            Self::Shared { capacity, .. } => *capacity,
            Self::Buffer { rx, .. } => rx.size(),
        }
    }

    /// The payload at `at`, owned. If it fills enough of a window, it shares the window. Otherwise it is copied.
    #[inline(never)]
    pub(super) fn owned(&mut self, at: Range<usize>) -> Bytes {
        if at.len() >= self.capacity() / PINS_AT_MOST
            && let Some(window) = self.share()
        {
            return window.slice(at);
        }
        Bytes::copy_from_slice(&self[at])
    }

    /// The window that the frames are in, as memory that messages can share.
    fn share(&mut self) -> Option<&Bytes> {
        if let Self::Window(window) = self {
            let capacity = window.capacity();
            *self = Self::Shared { window: Bytes::from_owner(mem::take(window)), capacity };
        }
        if let Self::Shared { window, .. } = self { Some(window) } else { None }
    }
}

impl Deref for Frames {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Copied(frames) => frames,
            Self::Window(frames) => frames,
            Self::Shared { window, .. } => window,
            Self::Buffer { rx, end } => rx.processed(0, *end),
        }
    }
}

impl Held {
    fn size(&self) -> Size {
        let (bytes, capacity) = match self {
            Self::Packed { frames, read } => (frames.len() - read, frames.capacity()),
            Self::Message(_, buffer) => (buffer.len(), buffer.capacity()),
        };
        Size { bytes: MESSAGE_OVERHEAD + bytes, spare: capacity - bytes }
    }
}

impl Inbox {
    /// Holds a copy of a message or of a control frame. `more` received bytes are not parsed yet and may contain
    /// further messages.
    pub(super) fn push_slice(&mut self, opcode: OpCode, payload: &[u8], more: usize) {
        self.pack(MAX_HEADER_LEN + payload.len(), more, |frames| {
            FrameHeader::append_message(opcode, payload, frames);
        });
    }

    /// Holds copies of messages: whole frames as they were received, except that the payloads are unmasked.
    pub(super) fn push_frames(&mut self, received: &[u8], more: usize) {
        self.pack(received.len(), more, |frames| frames.extend_from_slice(received));
    }

    /// Holds such messages without a copy.
    pub(super) fn push_window(&mut self, received: PooledBuffer) {
        let held = Held::Packed { frames: Frames::Window(received), read: 0 };
        let Size { bytes, spare } = held.size();
        self.bytes += bytes;
        self.spare += spare;
        self.held.push_back(held);
    }

    /// Appends to the packed frames at most `len` bytes.
    #[inline]
    fn pack(&mut self, len: usize, more: usize, append: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.held.back(), Some(Held::Packed { frames: Frames::Copied(_), .. })) {
            // Reserve for the first run only. If packed and assembled messages alternate, each run would reserve the
            // same bytes.
            let more = if self.held.is_empty() { more } else { 0 };
            let frames = Vec::with_capacity(len + more);
            self.spare += frames.capacity();
            self.held.push_back(Held::Packed { frames: Frames::Copied(frames), read: 0 });
            self.bytes += MESSAGE_OVERHEAD;
        }
        if let Some(Held::Packed { frames: Frames::Copied(frames), read }) = self.held.back_mut() {
            if *read > frames.len() / 2 {
                // Without this a run that is never quite empty would grow without limit.
                frames.drain(..*read);
                *read = 0;
            }
            let (before, capacity) = (frames.len(), frames.capacity());
            append(frames);
            let added = frames.len() - before;
            self.bytes += added;
            self.spare += frames.capacity() - capacity;
            self.spare -= added;
        }
    }

    pub(super) fn push_buffer(&mut self, kind: MessageKind, buffer: PooledBuffer) {
        if buffer.len() < PACKED_BELOW {
            return self.push_slice(kind.opcode(), &buffer, 0);
        }
        // A small message must not keep a large buffer.
        let buffer = buffer.trimmed();
        self.bytes += MESSAGE_OVERHEAD + buffer.len();
        self.spare += buffer.capacity() - buffer.len();
        self.held.push_back(Held::Message(kind, buffer));
    }

    /// Takes the oldest message or control frame, for the receive buffer to lend.
    pub(super) fn pop(&mut self) -> Option<(OpCode, PooledBuffer)> {
        self.pop_as(
            |payload| PooledBuffer::from(payload.to_vec()),
            |frames, at| PooledBuffer::from(frames[at].to_vec()),
            |buffer| buffer,
        )
    }

    /// Takes the oldest message or control frame as owned bytes.
    #[inline]
    pub(super) fn pop_bytes(&mut self) -> Option<(OpCode, Bytes)> {
        self.pop_as(Bytes::copy_from_slice, Frames::owned, PooledBuffer::into_bytes)
    }

    /// Takes the oldest item if it is a message, as owned bytes.
    #[inline]
    pub(super) fn pop_message(&mut self) -> Option<(MessageKind, Bytes)> {
        let kind = match self.held.front()? {
            Held::Message(kind, _) => *kind,
            Held::Packed { frames, read } => {
                MessageKind::from_opcode(OpCode::from_bits(*frames.get(*read)?)?)?
            }
        };
        let (_, payload) = self.pop_bytes()?;
        Some((kind, payload))
    }

    #[inline]
    fn pop_as<T>(
        &mut self,
        copy: impl FnOnce(&[u8]) -> T,
        copy_or_share: impl FnOnce(&mut Frames, Range<usize>) -> T,
        take: impl FnOnce(PooledBuffer) -> T,
    ) -> Option<(OpCode, T)> {
        let (opcode, payload, size, exhausted) = match self.held.front_mut()? {
            Held::Message(kind, buffer) => {
                let buffer = mem::take(buffer);
                let size = MESSAGE_OVERHEAD + buffer.len();
                self.spare -= buffer.capacity() - buffer.len();
                (kind.opcode(), take(buffer), size, true)
            }
            Held::Packed { frames, read } => {
                let (opcode, payload, frame_len) = unpack(&frames[*read..])?;
                let end = *read + frame_len;
                let payload = match payload.len() {
                    ..PACKED_BELOW => copy(payload),
                    len => copy_or_share(frames, end - len..end),
                };
                *read = end;
                self.spare += frame_len;
                let exhausted = *read == frames.len();
                self.spare -= if exhausted { frames.capacity() } else { 0 };
                (opcode, payload, frame_len + if exhausted { MESSAGE_OVERHEAD } else { 0 }, exhausted)
            }
        };
        if exhausted {
            self.held.pop_front();
        }
        self.bytes -= size;
        Some((opcode, payload))
    }

    /// Takes the oldest entry. It counts until the next call, or until it is put back.
    pub(super) fn take_run(&mut self) -> Option<(Held, Lease)> {
        self.end_run();
        let held = self.held.pop_front()?;
        let lease = self.begin_run(held.size());
        Some((held, lease))
    }

    /// Counts `bytes` of frames that are lent from where they were received, as an entry that was taken.
    pub(super) fn lend(&mut self, bytes: usize) -> Lease {
        self.end_run();
        let size = Size { bytes: MESSAGE_OVERHEAD + bytes, spare: 0 };
        self.bytes += size.bytes;
        self.begin_run(size)
    }

    fn begin_run(&mut self, size: Size) -> Lease {
        let (own, lease) = Lease::new();
        (self.lent, self.lease) = (size, Some(own));
        lease
    }

    /// Takes the oldest entry, as [`take_run`](Self::take_run) does, if it has several messages.
    #[inline]
    pub(super) fn take_several(&mut self) -> Option<(Held, Lease)> {
        let Held::Packed { frames, read } = self.held.front()? else { return None };
        let (.., len) = unpack(&frames[*read..])?;
        if frames.len() - read >= SEVERAL * len { self.take_run() } else { None }
    }

    /// What is shared with the entry that was taken last, if that still counts.
    pub(super) const fn lease_mut(&mut self) -> Option<&mut Lease> {
        self.lease.as_mut()
    }

    /// Whether the entry that was taken last still counts, and not all of its messages are the application's own.
    pub(super) fn is_lending(&self) -> bool {
        self.lent.bytes > self.lease.as_ref().map_or(0, Lease::taken)
    }

    /// Whether nothing is held, and nothing is lent.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.end.is_none() && self.lent.bytes == 0
    }

    /// Puts back what is left of the entry that was taken last.
    pub(super) fn put_back(&mut self, held: Held) {
        self.end_run();
        let Size { bytes, spare } = held.size();
        self.bytes += bytes;
        self.spare += spare;
        self.held.push_front(held);
    }

    /// The entry that was taken last counts no more.
    pub(super) fn end_run(&mut self) {
        self.lease = None;
        let Size { bytes, spare } = mem::take(&mut self.lent);
        self.bytes -= bytes;
        self.spare -= spare;
    }

    /// Drops the messages and control frames. Returns whether an end is held.
    pub(super) fn keep_only_the_end(&mut self) -> bool {
        (self.held, self.lease) = (VecDeque::new(), None);
        (self.bytes, self.spare, self.lent) = (0, 0, Size::default());
        self.end.is_some()
    }

    /// Whether a message or a control frame is held.
    pub(super) fn has_messages(&self) -> bool {
        !self.held.is_empty()
    }

    /// Bytes allocated for messages.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let capacity = |held: &Held| match held {
            Held::Packed { frames, .. } => frames.capacity(),
            Held::Message(_, buffer) => buffer.capacity(),
        };
        self.held.iter().map(capacity).sum()
    }

    /// All allocated bytes.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.capacity() + self.held.capacity() * size_of::<Held>()
    }

    /// Bytes of everything held, without the messages that were taken from the latest entry.
    pub(super) fn bytes(&self) -> usize {
        self.bytes - self.lease.as_ref().map_or(0, Lease::taken)
    }

    /// Bytes of memory in use.
    pub(super) const fn held_bytes(&self) -> usize {
        self.bytes + self.spare
    }
}

/// Splits off the first packed frame: opcode, payload, and the frame's length.
#[inline]
pub(super) fn unpack(frames: &[u8]) -> Option<(OpCode, &[u8], usize)> {
    let [first, second, rest @ ..] = frames else { return None };
    let opcode = OpCode::from_bits(*first)?;
    let (len, start) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    // A frame as it was received still has its mask key.
    let start = if second & 0x80 == 0 { start } else { start + 4 };
    Some((opcode, frames.get(start..start + len)?, start + len))
}
