//! The compression library, as RFC 7692 needs it: raw streams, ended by a flush whose last four bytes are not sent.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What a flush ends with, and what is neither sent nor received (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// A message without a byte, compressed (section 7.2.3.6).
const EMPTY: u8 = 0x00;
/// Largest window, as a power of two.
const MAX_WINDOW_BITS: u8 = 15;
/// Bytes that an inflater takes, whatever its window.
pub(super) const INFLATER_SIZE: usize = 48 * 1024;

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
    /// Bytes of the tail that were fed to it behind the message.
    tail: usize,
    /// The stream said that it is over; a further one may follow (section 7.2.3.4).
    ended: bool,
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
        Self { raw: Decompress::new_with_window_bits(false, MAX_WINDOW_BITS), tail: 0, ended: false }
    }
}

impl Inflater {
    pub(super) fn reset(&mut self) {
        self.raw.reset(false);
        self.tail = 0;
        self.ended = false;
    }

    /// Inflates from `input`, which shrinks by what was read, into `output`, until that is full, the input read, or the
    /// message over. `is_last`: there is no more input than this. Call it again with the rest, even if that is empty, as
    /// long as it has [`Inflated::More`].
    ///
    /// # Errors
    /// The input is not a compressed message.
    pub(crate) fn inflate(
        &mut self,
        input: &mut &[u8],
        is_last: bool,
        output: &mut [u8],
    ) -> Result<Inflated, ()> {
        let mut filled = 0;
        loop {
            if input.is_empty() && !is_last {
                return Ok(Inflated::More(filled));
            }
            if self.ended {
                self.raw.reset(false);
                self.ended = false;
                if input.is_empty() {
                    self.tail = 0;
                    return Ok(Inflated::Done(filled));
                }
            }
            let from_tail = input.is_empty();
            let source = if from_tail { &TAIL[self.tail..] } else { *input };
            let (read_before, written_before) = (self.raw.total_in(), self.raw.total_out());
            let status = self.raw.decompress(source, &mut output[filled..], FlushDecompress::Sync);
            let read = (self.raw.total_in() - read_before) as usize;
            let written = (self.raw.total_out() - written_before) as usize;
            filled += written;
            if from_tail {
                self.tail += read;
            } else {
                *input = &input[read..];
            }
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(Status::Ok | Status::BufError) if filled == output.len() => {
                    return Ok(Inflated::More(filled));
                }
                // All is read, and there was room for more.
                Ok(Status::Ok | Status::BufError) if self.tail == TAIL.len() => {
                    self.tail = 0;
                    return Ok(Inflated::Done(filled));
                }
                Ok(Status::Ok | Status::BufError) if read > 0 || written > 0 => {}
                _ => return Err(()),
            }
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What was received lately is in there.
        f.write_str("Inflater")
    }
}
