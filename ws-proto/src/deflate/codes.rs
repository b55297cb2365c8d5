//! The fixed Huffman codes (RFC 1951 sections 3.2.5 and 3.2.6), with their first bit lowest, as in the stream.

/// The symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The length in bits of each distance code.
pub(super) const DISTANCE_BITS: u32 = 5;

/// The code and its length in bits, for each literal and length symbol.
pub(super) static LITERALS: [(u16, u8); 288] = {
    let mut codes = [(0, 0); 288];
    let mut symbol = 0;
    while symbol < 288 {
        let (code, len) = match symbol {
            0..144 => (0x30 + symbol, 8),
            144..256 => (0x190 + symbol - 144, 9),
            256..280 => (symbol - 256, 7),
            _ => (0xc0 + symbol - 280, 8),
        };
        codes[symbol] = ((code as u16).reverse_bits() >> (16 - len), len);
        symbol += 1;
    }
    codes
};

/// For each length minus 3: its code and extra bits as in the stream, and their number.
static LENGTHS: [(u16, u8); 256] = {
    let mut lengths = [(0, 0); 256];
    let mut beyond = 0;
    while beyond < 256 {
        let (symbol, extra_len) = length_symbol(beyond);
        let (code, len) = LITERALS[symbol];
        let extra = beyond & ((1 << extra_len) - 1);
        lengths[beyond] = (code | (extra as u16) << len, len + extra_len);
        beyond += 1;
    }
    lengths
};

/// The symbol of a length minus 3, and the number of extra bits that give the length's distance from that symbol's
/// first length.
const fn length_symbol(beyond: usize) -> (usize, u8) {
    if beyond == 255 {
        // 258 has a symbol of its own.
        (285, 0)
    } else if beyond < 8 {
        (257 + beyond, 0)
    } else {
        // Four symbols for each power of two.
        let extra = beyond.ilog2() - 2;
        (257 + 4 * (extra as usize + 1) + (beyond >> extra) - 4, extra as u8)
    }
}

/// The code of a length from 3 to 258 and its extra bits, and their number.
#[inline]
pub(super) fn length_code(length: usize) -> (u16, u32) {
    let (bits, count) = LENGTHS[length - 3];
    (bits, count.into())
}

/// The code of each distance symbol.
static DISTANCES: [u8; 32] = {
    let mut codes = [0; 32];
    let mut symbol = 0;
    while symbol < 32 {
        codes[symbol] = (symbol as u8).reverse_bits() >> (8 - DISTANCE_BITS);
        symbol += 1;
    }
    codes
};

/// The code of a distance from 1 to 32,768, its extra bits, and their number.
#[inline]
pub(super) fn distance_symbol(distance: usize) -> (u8, u32, u32) {
    let beyond = distance as u32 - 1;
    // Two symbols for each power of two.
    let (symbol, extra_len) = if beyond < 4 {
        (beyond, 0)
    } else {
        let extra_len = beyond.ilog2() - 1;
        (2 * (extra_len + 1) + (beyond >> extra_len) - 2, extra_len)
    };
    (DISTANCES[symbol as usize & 31], beyond & ((1 << extra_len) - 1), extra_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of RFC 1951 section 3.2.5: the first length or distance of each symbol, and the number of its extra
    /// bits.
    const LENGTH_TABLE: [(usize, u32); 29] = [
        (3, 0),
        (4, 0),
        (5, 0),
        (6, 0),
        (7, 0),
        (8, 0),
        (9, 0),
        (10, 0),
        (11, 1),
        (13, 1),
        (15, 1),
        (17, 1),
        (19, 2),
        (23, 2),
        (27, 2),
        (31, 2),
        (35, 3),
        (43, 3),
        (51, 3),
        (59, 3),
        (67, 4),
        (83, 4),
        (99, 4),
        (115, 4),
        (131, 5),
        (163, 5),
        (195, 5),
        (227, 5),
        (258, 0),
    ];
    const DISTANCE_TABLE: [(usize, u32); 30] = [
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 0),
        (5, 1),
        (7, 1),
        (9, 2),
        (13, 2),
        (17, 3),
        (25, 3),
        (33, 4),
        (49, 4),
        (65, 5),
        (97, 5),
        (129, 6),
        (193, 6),
        (257, 7),
        (385, 7),
        (513, 8),
        (769, 8),
        (1025, 9),
        (1537, 9),
        (2049, 10),
        (3073, 10),
        (4097, 11),
        (6145, 11),
        (8193, 12),
        (12289, 12),
        (16385, 13),
        (24577, 13),
    ];

    #[test]
    fn each_length_has_the_symbol_of_the_rfc() {
        for length in 3..=258 {
            let at = LENGTH_TABLE.iter().rposition(|(first, _)| *first <= length).unwrap();
            let (first, extra_len) = LENGTH_TABLE[at];
            let (code, len) = LITERALS[257 + at];
            let bits = code | ((length - first) as u16) << len;
            assert_eq!(length_code(length), (bits, u32::from(len) + extra_len), "{length}");
        }
    }

    #[test]
    fn distances_have_the_symbols_of_the_rfc() {
        for distance in 1..=32_768 {
            let at = DISTANCE_TABLE.iter().rposition(|(first, _)| *first <= distance).unwrap();
            let (first, extra_len) = DISTANCE_TABLE[at];
            let code = (at as u8).reverse_bits() >> 3;
            assert_eq!(distance_symbol(distance), (code, (distance - first) as u32, extra_len), "{distance}");
        }
    }

    #[test]
    fn literals_have_the_codes_of_the_rfc() {
        let code = |symbol: usize| {
            let (code, len) = LITERALS[symbol];
            format!("{:0len$b}", code.reverse_bits() >> (16 - len), len = usize::from(len))
        };
        for (symbol, expected) in [
            (0, "00110000"),
            (143, "10111111"),
            (144, "110010000"),
            (255, "111111111"),
            (256, "0000000"),
            (279, "0010111"),
            (280, "11000000"),
            (287, "11000111"),
        ] {
            assert_eq!(code(symbol), expected, "{symbol}");
        }
    }
}
