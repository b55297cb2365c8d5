//! Tables that decode Huffman codes (RFC 1951 section 3.2.2) by their next bits.
//!
//! An entry has, from its lowest bit: the number of bits of the code and its extra bits together (8 bits), the number
//! of bits of the code (4 bits), flags, and from bit 16 the value of the symbol, to which the extra bits are added.

/// In an entry: the value is complete. A literal, or a code length.
pub(super) const LITERAL: u32 = 1 << 31;
/// The symbol has no value: it ends the block or is invalid.
pub(super) const EXCEPTION: u32 = 1 << 15;
/// With [`EXCEPTION`], the symbol ends the block. In the code for code lengths, it repeats the length before.
pub(super) const END: u32 = 1 << 14;

const VALUE: u32 = 0x7fff;
/// The longest code (section 3.2.7).
const LONGEST: usize = 15;
/// The most symbols of a code that is sent.
const SYMBOLS: usize = 288;

/// The entries of the literals and lengths, without the lengths of their codes.
pub(super) static LITERALS: [u32; 286] = {
    let mut entries = [0; 286];
    let mut symbol = 0;
    while symbol < 286 {
        entries[symbol] = match symbol {
            0..256 => LITERAL | (symbol as u32) << 16,
            256 => EXCEPTION | END,
            // 258 has a symbol of its own.
            285 => 258 << 16,
            257..265 => (symbol as u32 - 254) << 16,
            // Four symbols for each power of two.
            _ => {
                let (group, part) = ((symbol as u32 - 261) / 4, (symbol as u32 - 261) % 4);
                (3 + ((4 + part) << group)) << 16 | group
            }
        };
        symbol += 1;
    }
    entries
};

/// The entries of the distances.
pub(super) static DISTANCES: [u32; 30] = {
    let mut entries = [0; 30];
    let mut symbol = 0;
    while symbol < 30 {
        entries[symbol] = if symbol < 4 {
            (symbol as u32 + 1) << 16
        } else {
            // Two symbols for each power of two.
            let (group, part) = (symbol as u32 / 2 - 1, symbol as u32 % 2);
            (1 + ((2 + part) << group)) << 16 | group
        };
        symbol += 1;
    }
    entries
};

/// The entries of the code for code lengths.
pub(super) static CODE_LENGTHS: [u32; 19] = {
    let mut entries = [0; 19];
    let mut symbol = 0;
    while symbol < 16 {
        entries[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    entries[16] = END | 3 << 16 | 2;
    entries[17] = 3 << 16 | 3;
    entries[18] = 11 << 16 | 7;
    entries
};

/// An entry for a code of this length.
pub(super) const fn with_length(entry: u32, len: u32) -> u32 {
    entry + (len << 8 | len)
}

/// The value of an entry with its extra bits, and the number of bits that it takes. `bits` begin with the code.
#[inline]
pub(super) const fn entry_value(entry: u32, bits: u32) -> (u32, u32) {
    let (total, code) = (entry & 0xff, entry >> 8 & 0xf);
    let extra = (bits & ((1 << total) - 1)) >> code;
    ((entry >> 16 & VALUE) + extra, total)
}

/// Fills the beginning of `table` for a code that uses these symbols, with these lengths of their codes. Returns the
/// number of bits that index it, or `None` if the code is not complete or too long for the table.
// One function for tables of all sizes: a message builds three, and its code should be in the processor's cache.
#[inline(never)]
pub(super) fn build(used: &[(u16, u8)], entries: &[u32], table: &mut [u32]) -> Option<u32> {
    let mut counts = [0_u16; LONGEST + 1];
    for (_, length) in used {
        counts[usize::from(*length & 15)] += 1;
    }
    let longest = counts.iter().rposition(|count| *count > 0)?;
    if 1 << longest > table.len() || !is_complete(&counts) {
        return None;
    }
    let mut places = [0_u16; LONGEST + 2];
    for length in 1..=LONGEST {
        places[length + 1] = places[length] + counts[length];
    }
    let mut sorted = [0_u16; SYMBOLS];
    for (symbol, length) in used {
        let place = &mut places[usize::from(*length & 15)];
        sorted[usize::from(*place)] = *symbol;
        *place += 1;
    }
    // The table has the entries of all codes up to a length, and is doubled for the next length. A code that is longer
    // replaces both copies of what stands where it belongs.
    let (mut code, mut next) = (0_usize, 0);
    for length in 1..=longest {
        let half = 1 << (length - 1);
        table.copy_within(..half, half);
        for symbol in &sorted[next..next + usize::from(counts[length])] {
            let entry = *entries.get(usize::from(*symbol))?;
            *table.get_mut(code)? = with_length(entry, length as u32);
            code = next_code(code, length as u32);
        }
        next += usize::from(counts[length]);
    }
    Some(longest as u32)
}

/// Whether every sequence of bits begins with a code, and with one only.
fn is_complete(counts: &[u16; LONGEST + 1]) -> bool {
    let used: u32 = (1..=LONGEST).map(|length| u32::from(counts[length]) << (LONGEST - length)).sum();
    used == 1 << LONGEST
}

/// The code after this one, of the same length. The first bit is the lowest.
#[inline]
const fn next_code(code: usize, length: u32) -> usize {
    let zeros = code ^ ((1 << length) - 1);
    if zeros == 0 {
        return code;
    }
    let highest = 1 << zeros.ilog2();
    code & (highest - 1) | highest
}
