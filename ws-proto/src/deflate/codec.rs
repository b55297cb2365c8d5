//! The compression library as RFC 7692 uses it: raw streams that end with a flush, whose last four bytes are not
//! sent.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::small_inflater::{self, SmallInflater};

/// The last bytes of a flush, which are neither sent nor received (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// An empty message, compressed (section 7.2.3.6).
const EMPTY: u8 = 0x00;
/// Largest window, as a power of two.
const MAX_WINDOW_BITS: u8 = 15;
/// The bytes that an inflater takes, independent of its window.
pub(crate) const INFLATER_SIZE: usize = 48 * 1024;
/// The bytes that an inflater without a context takes.
pub(crate) const SHARED_INFLATER_SIZE: usize = INFLATER_SIZE + size_of::<SmallInflater>();

/// The bytes that an inflater with a context takes: the library's part, and the [`History`].
pub(super) const fn kept_inflater_size(window_bits: u8) -> usize {
    INFLATER_SIZE + history_size(window_bits)
}

/// The tail, and an empty last block (RFC 1951 section 3.2.6). The stream ends here if, and only if, the message
/// ended where a block may begin.
const END: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];
/// The tail, and one more empty block, for a stream that continues. A truncated message mostly, but not always,
/// shows as a byte here that the stream does not expect. A certain check would need a reset and a copy of the window
/// for each message.
const END_OF_KEPT: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff];

/// The work of starting a new stream, in bytes inflated, which take about as long.
const RESTART: usize = 4 * 1024;
/// The most such work in one call. A message may have a last block in every two of its bytes, so the inflater must
/// yield.
const RESTARTS_AT_MOST: usize = 64 * RESTART;

/// The bytes that a deflater takes: its window, its chains, and the hash table, which has a fixed size.
pub(super) const fn deflater_size(window_bits: u8) -> usize {
    let window = 1_usize << window_bits;
    4 * window + 131_072 + 112 * 1024
}

/// Compresses messages.
pub(crate) struct Deflater {
    raw: Compress,
    level: u8,
    window_bits: u8,
    /// Reused memory for the output.
    out: Vec<u8>,
}

/// The most bytes of output memory that are kept.
const KEPT_OUT: usize = 64 * 1024;

impl Deflater {
    /// Creates a deflater; `window_bits` is 9 to 15.
    pub(super) fn new(level: u8, window_bits: u8) -> Self {
        let raw = Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits);
        Self { raw, level, window_bits, out: Vec::new() }
    }

    pub(super) const fn is_for(&self, level: u8, window_bits: u8) -> bool {
        self.level == level && self.window_bits == window_bits
    }

    pub(super) fn reset(&mut self) {
        self.raw.reset();
    }

    /// Takes the memory for the output of [`deflate`](Self::deflate). Return it with [`put_out`](Self::put_out).
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn put_out(&mut self, mut out: Vec<u8>) {
        out.clear();
        out.shrink_to(KEPT_OUT);
        self.out = out;
    }

    /// Frees the memory for the output.
    pub(super) fn drop_out(&mut self) {
        self.out = Vec::new();
    }

    /// Appends `piece`, compressed, to `out`. The last piece of a message is flushed, and the tail is removed.
    /// Returns `false` if the library failed; the content of `out` is then unusable.
    pub(crate) fn deflate(&mut self, piece: &[u8], is_last: bool, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let flush = if is_last { FlushCompress::Sync } else { FlushCompress::None };
        let mut rest = piece;
        loop {
            out.reserve(rest.len() / 2 + 64);
            let before = self.raw.total_in();
            match self.raw.compress_vec(rest, out, flush) {
                Ok(Status::Ok | Status::BufError) => {}
                Ok(Status::StreamEnd) | Err(_) => return false,
            }
            rest = &rest[(self.raw.total_in() - before) as usize..];
            // If there is room left, all output has been written.
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        if is_last {
            cut_tail(start, out);
        }
        true
    }
}

/// Removes the tail from what a flush appended after `start`. A second flush in a row appends nothing.
fn cut_tail(start: usize, out: &mut Vec<u8>) {
    if out[start..].ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
    if out.len() == start {
        out.push(EMPTY);
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state holds recently compressed data.
        write!(f, "Deflater({}, {})", self.level, self.window_bits)
    }
}

/// Decompresses messages one after the other.
pub(crate) struct Inflater {
    raw: Decompress,
    /// The output was full, so the library may have more output for the input that it has read.
    was_full: bool,
    /// The stream has ended; another one may follow (section 7.2.3.4).
    ended: bool,
    /// Present if messages may refer to earlier ones.
    history: Option<History>,
    /// The work of restarts since the last call of [`take_work`](Self::take_work).
    work: usize,
    /// For small messages without context, once there was one.
    small: Option<Box<SmallInflater>>,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inflated {
    /// This many bytes; the output is full, or the message is not complete.
    More(usize),
    /// This many bytes, the last ones of the message.
    Done(usize),
}

impl Default for Inflater {
    fn default() -> Self {
        let raw = Decompress::new_with_window_bits(false, MAX_WINDOW_BITS);
        Self { raw, was_full: false, ended: false, history: None, work: 0, small: None }
    }
}

impl Inflater {
    pub(super) fn reset(&mut self) {
        // A message that ended properly has reset it already.
        if self.raw.total_in() > 0 {
            self.raw.reset(false);
        }
        self.was_full = false;
        self.ended = false;
        self.history = None;
        self.work = 0;
    }

    /// Allows later messages to refer to earlier ones, within a window of `window_bits`.
    pub(super) fn keep_context(&mut self, window_bits: u8) {
        self.small = None;
        self.history.get_or_insert_with(|| History::new(history_size(window_bits)));
    }

    /// The work besides inflating since the last call, measured in bytes inflated.
    pub(crate) fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }

    /// Inflates a whole message to the beginning of `output`, and returns its length. `None` if it is not a small and
    /// usual one without context: give it to [`inflate`](Self::inflate), which also decides whether it is valid.
    pub(crate) fn inflate_small(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        if input.len() > small_inflater::MOST || self.history.is_some() {
            return None;
        }
        self.small.get_or_insert_with(|| Box::new(SmallInflater::new())).inflate(input, output)
    }

    /// Inflates from `input`, which shrinks by what was read, into `output`, which is not empty. It stops when the
    /// output is full, the input is read, the message is complete, or many restarts gave little output. `is_last`
    /// means that no more input follows. While it returns [`Inflated::More`], call it again with the rest, even if
    /// that is empty.
    ///
    /// A last block (BFINAL) ends a stream and not the message: what follows is another stream, as in the example of
    /// section 7.2.3.4. With a context, that stream may refer to earlier data. zlib, and peers that are built on it,
    /// start it with an empty window, which is correct for senders that do the same.
    ///
    /// # Errors
    /// `Err` if the input is not a compressed message, or is truncated.
    pub(crate) fn inflate(
        &mut self,
        input: &mut &[u8],
        is_last: bool,
        output: &mut [u8],
    ) -> Result<Inflated, ()> {
        let (mut filled, work_before) = (0, self.work);
        loop {
            if input.is_empty() && !is_last {
                return Ok(Inflated::More(filled));
            }
            if self.ended {
                if self.work - work_before >= RESTARTS_AT_MOST && !input.is_empty() {
                    return Ok(Inflated::More(filled));
                }
                self.restart();
                if input.is_empty() {
                    return Ok(Inflated::Done(filled));
                }
            }
            if input.is_empty() && !self.was_full {
                return self.end_message(&mut output[filled..]).map(|()| Inflated::Done(filled));
            }
            let (status, read, written) = self.step(input, &mut output[filled..])?;
            if let Some(history) = &mut self.history {
                history.push(&output[filled..filled + written]);
            }
            *input = &input[read..];
            filled += written;
            self.ended = status == Status::StreamEnd;
            self.was_full = !self.ended && filled == output.len();
            if self.was_full {
                return Ok(Inflated::More(filled));
            }
            if !self.ended && !input.is_empty() && read == 0 && written == 0 {
                return Err(());
            }
        }
    }

    /// Feeds the bytes that end every message. They give no output. A message that gives output here was truncated,
    /// and leaves the library in the middle of a block, where it would take the next message for the rest of it.
    fn end_message(&mut self, spare: &mut [u8]) -> Result<(), ()> {
        let is_kept = self.history.is_some();
        let end = if is_kept { &END_OF_KEPT[..] } else { &END };
        let (status, read, written) = self.step(end, spare)?;
        let is_whole = read == end.len() && written == 0 && (status == Status::StreamEnd) != is_kept;
        if is_whole && !is_kept {
            self.raw.reset(false);
        }
        if is_whole { Ok(()) } else { Err(()) }
    }

    /// Calls the library once. Returns its status, and the numbers of bytes that it has read and written.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(Status, usize, usize), ()> {
        let (read_before, written_before) = (self.raw.total_in(), self.raw.total_out());
        let status = self.raw.decompress(input, output, FlushDecompress::Sync).map_err(|_| ())?;
        let read = (self.raw.total_in() - read_before) as usize;
        let written = (self.raw.total_out() - written_before) as usize;
        Ok((status, read, written))
    }

    /// Starts another stream after one that has ended.
    fn restart(&mut self) {
        self.raw.reset(false);
        self.ended = false;
        self.work += RESTART;
        if let Some(history) = &self.history {
            history.restore(&mut self.raw);
        }
    }
}

const fn history_size(window_bits: u8) -> usize {
    // zlib uses 9 in place of 8.
    1 << if window_bits < 9 { 9 } else { window_bits }
}

/// The most recently inflated bytes, as many as the window has. The library has them too, but discards them at the
/// end of a stream.
struct History {
    ring: Vec<u8>,
    size: usize,
    /// The position of the oldest byte, once the ring is full.
    oldest: usize,
}

impl History {
    fn new(size: usize) -> Self {
        Self { ring: Vec::with_capacity(size), size, oldest: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.size)..];
        let (fresh, over) = bytes.split_at(bytes.len().min(self.size - self.ring.len()));
        self.ring.extend_from_slice(fresh);
        let (first, second) = over.split_at(over.len().min(self.size - self.oldest));
        self.ring[self.oldest..self.oldest + first.len()].copy_from_slice(first);
        self.ring[..second.len()].copy_from_slice(second);
        self.oldest = (self.oldest + over.len()) % self.size;
    }

    /// Makes the history the window of a new stream.
    fn restore(&self, raw: &mut Decompress) {
        let (newer, older) = self.ring.split_at(self.oldest);
        for part in [older, newer] {
            // A raw stream accepts any dictionary. Without one, a reference to it would be refused.
            let taken = raw.set_dictionary(part);
            debug_assert!(taken.is_ok());
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state holds recently received data.
        f.write_str("Inflater")
    }
}

#[cfg(test)]
mod tests;
