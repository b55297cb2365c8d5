//! The compression library, as RFC 7692 needs it: raw streams, ended by a flush whose last four bytes are not sent.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a flush ends with, and what is neither sent nor received (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// A message without a byte, compressed (section 7.2.3.6).
const EMPTY: u8 = 0x00;
/// Largest window, as a power of two.
const MAX_WINDOW_BITS: u8 = 15;
/// Bytes that an inflater takes, whatever its window.
pub(crate) const INFLATER_SIZE: usize = 48 * 1024;

/// Bytes that an inflater with a context takes: the library's share, and the [`History`].
pub(super) const fn kept_inflater_size(window_bits: u8) -> usize {
    INFLATER_SIZE + history_size(window_bits)
}

/// The tail, and a last block without a byte (RFC 1951 section 3.2.6): the stream ends here if, and only if, the message
/// ended where a block may begin.
const END: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];
/// The tail, and one more block without a byte, where the stream must go on. A message that was cut off shows mostly, but
/// not always, where one of these bytes is not what it waits for. To be certain would take a reset and the window copied
/// back, for every message.
const END_OF_KEPT: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff];

/// What beginning a stream anew counts as, in bytes inflated: it takes about as long.
const RESTART: usize = 4 * 1024;
/// So much of that, and others have their turn: a message may have a last block in every two of its bytes.
const RESTARTS_AT_MOST: usize = 64 * RESTART;

/// Bytes that a deflater takes: its window and its chains, and the table of hashes, which is always as large.
pub(super) const fn deflater_size(window_bits: u8) -> usize {
    let window = 1_usize << window_bits;
    4 * window + 131_072 + 112 * 1024
}

/// Compresses messages.
pub(crate) struct Deflater {
    raw: Compress,
    level: u8,
    window_bits: u8,
    /// Memory for what comes out, used again.
    out: Vec<u8>,
}

/// What is kept of that.
const KEPT_OUT: usize = 64 * 1024;

impl Deflater {
    /// `window_bits` is 9 to 15.
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

    /// Memory for [`deflate`](Self::deflate); give it back with [`put_out`](Self::put_out).
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn put_out(&mut self, mut out: Vec<u8>) {
        out.clear();
        out.shrink_to(KEPT_OUT);
        self.out = out;
    }

    /// Gives that memory back to the allocator.
    pub(super) fn drop_out(&mut self) {
        self.out = Vec::new();
    }

    /// Appends `piece`, compressed, to `out`; the last piece of a message is flushed, and its tail cut off. `false`: the
    /// library failed, and what is in `out` is of no use.
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
            // With room left nothing more is to come out.
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

/// Cuts the tail off what a flush appended behind `start`. A second flush in a row appends nothing at all.
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
        // What was compressed lately is in there.
        write!(f, "Deflater({}, {})", self.level, self.window_bits)
    }
}

/// Decompresses messages, one after the other.
pub(crate) struct Inflater {
    raw: Decompress,
    /// The output was full, so the library may have more from the input that it has read.
    was_full: bool,
    /// The stream said that it is over; a further one may follow (section 7.2.3.4).
    ended: bool,
    /// Present if messages may refer to earlier ones.
    history: Option<History>,
    /// What restarts took since it was last asked.
    work: usize,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inflated {
    /// So many bytes; the output is full, or the message not over.
    More(usize),
    /// So many bytes, the last ones of the message.
    Done(usize),
}

impl Default for Inflater {
    fn default() -> Self {
        let raw = Decompress::new_with_window_bits(false, MAX_WINDOW_BITS);
        Self { raw, was_full: false, ended: false, history: None, work: 0 }
    }
}

impl Inflater {
    pub(super) fn reset(&mut self) {
        // Not again, behind a message that ended as it should.
        if self.raw.total_in() > 0 {
            self.raw.reset(false);
        }
        self.was_full = false;
        self.ended = false;
        self.history = None;
        self.work = 0;
    }

    /// From now on messages may refer to earlier ones, within a window of so many bits.
    pub(super) fn keep_context(&mut self, window_bits: u8) {
        self.history.get_or_insert_with(|| History::new(history_size(window_bits)));
    }

    /// What was done since it was last asked beside inflating, as so many bytes inflated.
    pub(crate) fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work)
    }

    /// Inflates from `input`, which shrinks by what was read, into `output`, which is not empty, until that is full, the
    /// input read, the message over, or much was done for little. `is_last`: there is no more input than this. Call it again with the rest, even if
    /// that is empty, as long as it has [`Inflated::More`].
    ///
    /// A last block (BFINAL) ends a stream and not the message: what comes behind it is a further stream, as the example
    /// of section 7.2.3.4 has it. With a context it may refer to what came before. zlib begins with an empty window then,
    /// and so do peers that are built on it, which is right for every sender that does the same.
    ///
    /// # Errors
    /// The input is not a compressed message, or not all of one.
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

    /// Feeds what every message ends with. It gives nothing: what gives a byte here was cut off, and leaves the library in
    /// the middle of a block, where it would take the next message for the rest.
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

    /// One call of the library: what it says, and how many bytes it has read and written.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<(Status, usize, usize), ()> {
        let (read_before, written_before) = (self.raw.total_in(), self.raw.total_out());
        let status = self.raw.decompress(input, output, FlushDecompress::Sync).map_err(|_| ())?;
        let read = (self.raw.total_in() - read_before) as usize;
        let written = (self.raw.total_out() - written_before) as usize;
        Ok((status, read, written))
    }

    /// Begins a further stream, behind one that is over.
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
    // zlib takes 9 for 8.
    1 << if window_bits < 9 { 9 } else { window_bits }
}

/// The latest bytes that were inflated, as many as a window has. The library has them too, but drops them at the end of a
/// stream.
struct History {
    ring: Vec<u8>,
    size: usize,
    /// Where the oldest byte is, once the ring is full.
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

    /// Makes it the window of a stream that begins.
    fn restore(&self, raw: &mut Decompress) {
        let (newer, older) = self.ring.split_at(self.oldest);
        for part in [older, newer] {
            // A raw stream takes any dictionary; with none, what refers to it would be refused.
            let taken = raw.set_dictionary(part);
            debug_assert!(taken.is_ok());
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What was received lately is in there.
        f.write_str("Inflater")
    }
}
