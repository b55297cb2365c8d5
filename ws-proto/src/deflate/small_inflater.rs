//! A decompressor for small, whole messages without context (RFC 1951).
//!
//! The library keeps a window and a state that can stop at any byte, and builds tables for large inputs. A message of
//! 1,000 bytes pays for all of that and uses none. This one decodes what compressors usually make of a small message:
//! blocks with fixed or dynamic codes, and the empty stored block of the flush, whose last four bytes are not sent
//! (RFC 7692 section 7.2.1). It refuses all other data, valid or not, and leaves the decision to the library. It
//! must never accept what the library refuses; the tests compare both.

use super::decode_table::{
    CODE_LENGTHS, DISTANCES, END, EXCEPTION, LITERAL, LITERALS, build, entry_value, with_length,
};

/// The largest message, compressed.
pub(super) const MOST: usize = 4 * 1024;
/// The most blocks. Each costs as much time as some hundred bytes.
const MOST_BLOCKS: usize = 8;

/// The longest codes that are decoded, in bits. A small message rarely has longer ones.
const LITERAL_BITS: usize = 11;
const DISTANCE_BITS: usize = 9;
const LENGTH_BITS: usize = 7;

/// The most literals, lengths and distances together.
const SYMBOLS: usize = 286 + 30;

/// The order of the lengths of the code for code lengths (RFC 1951 section 3.2.7).
const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

static FIXED_LITERALS: [u32; 1 << 9] = {
    let mut table = [0; 1 << 9];
    let mut symbol = 0;
    while symbol < 288 {
        let (code, len) = super::codes::LITERALS[symbol];
        let entry = if symbol < 286 { with_length(LITERALS[symbol], len as u32) } else { EXCEPTION };
        let mut at = code as usize;
        while at < table.len() {
            table[at] = entry;
            at += 1 << len;
        }
        symbol += 1;
    }
    table
};
static FIXED_DISTANCES: [u32; 1 << 5] = {
    let mut table = [EXCEPTION; 1 << 5];
    let mut symbol = 0;
    while symbol < 30 {
        table[(symbol as u8).reverse_bits() as usize >> 3] = with_length(DISTANCES[symbol], 5);
        symbol += 1;
    }
    table
};

/// Memory for the tables of the dynamic codes. The content is that of the latest message.
pub(super) struct SmallInflater {
    literals: [u32; 1 << LITERAL_BITS],
    distances: [u32; 1 << DISTANCE_BITS],
    /// The symbols that a code uses, in their order, with the lengths of their codes.
    used: [(u16, u8); SYMBOLS],
}

/// The bits of the codes of a block.
struct Codes {
    literal_bits: u32,
    distance_bits: u32,
}

impl SmallInflater {
    pub(super) const fn new() -> Self {
        Self { literals: [0; 1 << LITERAL_BITS], distances: [0; 1 << DISTANCE_BITS], used: [(0, 0); SYMBOLS] }
    }

    /// Inflates a whole message to the beginning of `output`. Returns its length; `None` if it is not usual, not valid
    /// or too long.
    pub(super) fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        let mut bits = Bits { input, at: 0, hold: 0, count: 0 };
        let mut filled = 0;
        for _ in 0..MOST_BLOCKS {
            bits.refill();
            match bits.take(3)? {
                // A stored block. Only that of the flush is usual: the message ends within its first byte.
                0b000 => return bits.is_within_last_byte().then_some(filled),
                0b010 => {
                    let codes = Codes { literal_bits: 9, distance_bits: 5 };
                    filled =
                        inflate_block(&mut bits, &FIXED_LITERALS, &FIXED_DISTANCES, &codes, output, filled)?;
                }
                0b100 => {
                    let codes = self.read_codes(&mut bits)?;
                    filled =
                        inflate_block(&mut bits, &self.literals, &self.distances, &codes, output, filled)?;
                }
                // A last block, or one of no kind.
                _ => return None,
            }
        }
        None
    }

    /// Reads the codes of a block with dynamic codes (RFC 1951 section 3.2.7).
    fn read_codes(&mut self, bits: &mut Bits<'_>) -> Option<Codes> {
        let (literals, distances) = (bits.take(5)? as usize + 257, bits.take(5)? as usize + 1);
        if literals > 286 || distances > 30 {
            return None;
        }
        // The lengths of the code for code lengths, in the order of its symbols.
        let mut order = [0; ORDER.len()];
        for symbol in &ORDER[..bits.take(4)? as usize + 4] {
            bits.refill();
            order[usize::from(*symbol)] = bits.take(3)? as u8;
        }
        let mut used = 0;
        for (symbol, length) in order.iter().enumerate().filter(|(_, length)| **length > 0) {
            self.used[used] = (symbol as u16, *length);
            used += 1;
        }
        let mut table = [0; 1 << LENGTH_BITS];
        let table_bits = build(&self.used[..used], &CODE_LENGTHS, &mut table)?;
        let used = read_lengths(bits, &table, table_bits, literals + distances, &mut self.used)?;
        let used = &mut self.used[..used];
        let first_distance = used.partition_point(|(symbol, _)| usize::from(*symbol) < literals);
        let (used_literals, used_distances) = used.split_at_mut(first_distance);
        for (symbol, _) in used_distances.iter_mut() {
            *symbol -= literals as u16;
        }
        // Without a symbol for its end, a block ends with the input, and the message is refused.
        Some(Codes {
            literal_bits: build(used_literals, &LITERALS, &mut self.literals)?,
            distance_bits: build(used_distances, &DISTANCES, &mut self.distances)?,
        })
    }
}

/// Reads the lengths of the codes of all symbols, first those of literals and lengths, then those of distances. Most
/// symbols are not used, and only those that are used go to `used`. Returns how many these are.
#[inline(never)]
fn read_lengths(
    from: &mut Bits<'_>,
    table: &[u32; 1 << LENGTH_BITS],
    table_bits: u32,
    symbols: usize,
    used: &mut [(u16, u8); SYMBOLS],
) -> Option<usize> {
    let (mut at, mut count, mut before, mut bits) = (0, 0, 0, *from);
    while at < symbols {
        bits.refill();
        let entry = table[bits.next(table_bits) & (table.len() - 1)];
        let value = bits.take_value(entry) as usize;
        if bits.is_overdrawn() {
            return None;
        }
        let (length, end) = if entry & LITERAL != 0 {
            (value as u8, at + 1)
        } else if entry & END == 0 {
            // Zero again, for 17 and 18.
            (0, at + value)
        } else if at > 0 {
            // The length before again, for 16.
            (before, at + value)
        } else {
            return None;
        };
        if end > symbols {
            return None;
        }
        if length > 0 {
            for symbol in at..end {
                *used.get_mut(count)? = (symbol as u16, length);
                count += 1;
            }
        }
        (at, before) = (end, length);
    }
    *from = bits;
    Some(count)
}

/// Inflates a block behind its header. `filled` bytes are inflated already. Returns how many there are after it.
#[inline(never)]
fn inflate_block<const L: usize, const D: usize>(
    from: &mut Bits<'_>,
    literals: &[u32; L],
    distances: &[u32; D],
    codes: &Codes,
    output: &mut [u8],
    mut filled: usize,
) -> Option<usize> {
    // A copy stays in registers.
    let mut bits = *from;
    loop {
        // 56 bits suffice for two literals, or for one and a match: 11, 11 + 5 and 9 + 13.
        bits.refill();
        let mut entry = literals[bits.next(codes.literal_bits) & (L - 1)];
        if entry & LITERAL != 0 {
            *output.get_mut(filled)? = bits.take_literal(entry);
            filled += 1;
            entry = literals[bits.next(codes.literal_bits) & (L - 1)];
            if entry & LITERAL != 0 {
                *output.get_mut(filled)? = bits.take_literal(entry);
                filled += 1;
                if bits.is_overdrawn() {
                    return None;
                }
                continue;
            }
        }
        if entry & EXCEPTION != 0 {
            bits.take_value(entry);
            *from = bits;
            return (entry & END != 0 && !bits.is_overdrawn()).then_some(filled);
        }
        let length = bits.take_value(entry) as usize;
        let entry = distances[bits.next(codes.distance_bits) & (D - 1)];
        if entry & EXCEPTION != 0 {
            return None;
        }
        let distance = bits.take_value(entry) as usize;
        if bits.is_overdrawn() {
            return None;
        }
        copy_match(output, filled, distance, length)?;
        filled += length;
    }
}

/// Repeats `length` bytes that begin `distance` bytes before `at`. It may write more bytes than that.
#[inline]
fn copy_match(output: &mut [u8], at: usize, distance: usize, length: usize) -> Option<()> {
    const STEP: usize = 16;
    let from = at.checked_sub(distance)?;
    if distance < STEP || output.len() - at < length + STEP {
        let to = output.get_mut(..at + length)?;
        for place in at..at + length {
            to[place] = to[place - distance];
        }
        return Some(());
    }
    let mut done = 0;
    while done < length {
        let chunk: [u8; STEP] = *output[from + done..].first_chunk()?;
        *output[at + done..].first_chunk_mut()? = chunk;
        done += STEP;
    }
    Some(())
}

/// Reads bits, the lowest bit of a byte first.
#[derive(Clone, Copy)]
struct Bits<'a> {
    input: &'a [u8],
    /// The bytes that are taken from the input.
    at: usize,
    hold: u64,
    /// The valid bits of `hold`, at most 63.
    count: u32,
}

impl Bits<'_> {
    /// After this there are at least 56 bits, or all that are left.
    #[inline]
    fn refill(&mut self) {
        let rest = &self.input[self.at..];
        if let Some(word) = rest.first_chunk() {
            self.hold |= u64::from_le_bytes(*word) << self.count;
            let taken = (63 - self.count) / 8;
            self.at += taken as usize;
            self.count += 8 * taken;
            return;
        }
        for byte in rest {
            if self.count > 55 {
                break;
            }
            self.hold |= u64::from(*byte) << self.count;
            self.at += 1;
            self.count += 8;
        }
    }

    /// The next bits. Those after the end are zero.
    #[inline]
    const fn next(&self, count: u32) -> usize {
        self.hold as usize & ((1 << count) - 1)
    }

    /// Takes up to 28 bits; `None` if fewer are left.
    fn take(&mut self, count: u32) -> Option<u32> {
        let bits = self.hold as u32 & ((1 << count) - 1);
        self.skip(count);
        (!self.is_overdrawn()).then_some(bits)
    }

    /// Takes a code and its extra bits. Returns the value that they stand for.
    #[inline]
    const fn take_value(&mut self, entry: u32) -> u32 {
        let (value, total) = entry_value(entry, self.hold as u32);
        self.skip(total);
        value
    }

    /// Takes the code of a literal.
    #[inline]
    const fn take_literal(&mut self, entry: u32) -> u8 {
        self.skip(entry & 0xff);
        (entry >> 16) as u8
    }

    /// Skips at most 28 bits.
    #[inline]
    const fn skip(&mut self, count: u32) {
        self.count = self.count.wrapping_sub(count);
        self.hold >>= count;
    }

    /// Whether bits after the end were taken. Checked before the next [`refill`](Self::refill).
    #[inline]
    const fn is_overdrawn(&self) -> bool {
        self.count > u64::BITS
    }

    fn is_within_last_byte(&self) -> bool {
        self.at == self.input.len() && self.count < 8
    }
}

#[cfg(test)]
mod tests;
