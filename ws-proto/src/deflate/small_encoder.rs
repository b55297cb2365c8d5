//! A compressor for small messages without context (RFC 1951 section 3.2.6, one block with the fixed codes).
//!
//! The library's compressor clears a table of 128 KiB for each message, which is most of the cost of a message of
//! 1,000 bytes. Here the table has 4 or 8 KiB. The match finder is that of the library's fastest level: it knows only
//! the latest position with the same four bytes. `bench/LOG.md` has the measured gain.

use super::codes::{DISTANCE_BITS, END_OF_BLOCK, LITERALS, distance_symbol, length_code};

/// The largest message, in bytes: a position in the table has 16 bits, and no distance exceeds a window of 32 KiB.
pub(crate) const MOST: usize = 32 * 1024;

/// The entries of the table.
const TABLE: usize = 4096;
/// The entries for a message of up to [`SHORT`] bytes. Clearing them is a large part of what such a message costs.
const SHORT_TABLE: usize = 2048;
const SHORT: usize = 2048;
/// The shortest match that is found.
const MIN_MATCH: usize = 4;
const MAX_MATCH: usize = 258;

/// Appends `payload`, compressed, without the last four bytes of its flush (RFC 7692 section 7.2.1), and with no
/// distance beyond a window of `window_bits`. The output may be longer than the payload by at most an eighth.
/// `payload` has at most [`MOST`] bytes.
pub(crate) fn deflate(payload: &[u8], window_bits: u8, out: &mut Vec<u8>) {
    if payload.len() <= SHORT {
        deflate_with::<SHORT_TABLE>(payload, window_bits, out);
    } else {
        deflate_with::<TABLE>(payload, window_bits, out);
    }
}

#[inline(never)]
fn deflate_with<const N: usize>(payload: &[u8], window_bits: u8, out: &mut Vec<u8>) {
    let window = 1_usize << window_bits;
    out.reserve(payload.len() + payload.len() / 8 + 16);
    let mut bits = BitWriter { out, pending: 0, count: 0 };
    // Header of a block that is not the last, with the fixed codes.
    bits.put(0b010, 3);
    // The latest position with each hash, plus one; 0 means none.
    let mut places = [0_u16; N];
    let (mut at, mut literals_from, mut misses) = (0, 0, 0_usize);
    while let Some(word) = word_at(payload, at) {
        let place = &mut places[hash::<N>(word)];
        let candidate = usize::from(std::mem::replace(place, at as u16 + 1));
        let found = candidate
            .checked_sub(1)
            .filter(|from| at - from <= window && word_at(payload, *from) == Some(word));
        let Some(from) = found else {
            misses += 1;
            // Data that does not compress is searched in growing steps.
            at += 1 + (misses >> 6);
            continue;
        };
        misses = 0;
        bits.put_literals(&payload[literals_from..at]);
        let length = match_length(payload, from, at);
        bits.put_match(length, at - from);
        at += length;
        literals_from = at;
        // The next match mostly begins at the end of this one.
        if let Some(word) = word_at(payload, at - 2) {
            places[hash::<N>(word)] = (at - 2) as u16 + 1;
        }
    }
    bits.put_literals(&payload[literals_from..]);
    let (code, len) = LITERALS[END_OF_BLOCK];
    bits.put(code.into(), len.into());
    // An empty stored block follows. Its header is sent; its length is not.
    bits.put(0b000, 3);
    bits.finish();
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

const fn hash<const N: usize>(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - N.ilog2())) as usize
}

/// The length of the match between the bytes at `from` and at `at`, of which the first four are equal.
fn match_length(bytes: &[u8], from: usize, at: usize) -> usize {
    let end = bytes.len().min(at + MAX_MATCH);
    let mut length = MIN_MATCH;
    while at + length < end {
        let (one, other) = (&bytes[from + length..], &bytes[at + length..end]);
        match (one.first_chunk::<8>(), other.first_chunk::<8>()) {
            (Some(one), Some(other)) => {
                let difference = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
                if difference != 0 {
                    return length + (difference.trailing_zeros() / 8) as usize;
                }
                length += 8;
            }
            _ if one[0] == other[0] => length += 1,
            _ => return length,
        }
    }
    length
}

/// Writes bits, the first one into the lowest bit of a byte.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    /// The number of pending bits; less than 32 between calls.
    count: u32,
}

impl BitWriter<'_> {
    /// Writes `count` bits, at most 32.
    #[inline]
    fn put(&mut self, bits: u32, count: u32) {
        self.pending |= u64::from(bits) << self.count;
        self.count += count;
        if self.count >= 32 {
            self.out.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.count -= 32;
        }
    }

    fn put_literals(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let (code, len) = LITERALS[usize::from(*byte)];
            self.put(code.into(), len.into());
        }
    }

    fn put_match(&mut self, length: usize, distance: usize) {
        // At most 13 and 18 bits.
        let (bits, count) = length_code(length);
        let (code, extra, extra_len) = distance_symbol(distance);
        let distance = u32::from(code) | extra << DISTANCE_BITS;
        self.put(u32::from(bits) | distance << count, count + DISTANCE_BITS + extra_len);
    }

    /// Pads and writes the last byte.
    fn finish(self) {
        let bytes = self.pending.to_le_bytes();
        self.out.extend_from_slice(&bytes[..self.count.div_ceil(8) as usize]);
    }
}

#[cfg(test)]
mod tests;
