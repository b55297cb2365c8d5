/// Bytes per step of the main loop: a multiple of every vector width.
const BLOCK: usize = 64;
const WORD: usize = 8;

/// The bits that no ASCII character has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

/// XORs `data` with the repeating key. It is inlined into each caller, to be compiled for the caller's instruction
/// set.
#[inline(always)]
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) {
    xor_all::<false>(key, data);
}

/// As [`apply`]. Returns whether all bytes are ASCII afterwards.
#[inline(always)]
pub(super) fn apply_and_test(key: [u8; 4], data: &mut [u8]) -> bool {
    xor_all::<true>(key, data) & NOT_ASCII == 0
}

/// XORs `data` with the repeating key. With `TEST`, returns all bits that the words of the result have.
#[inline(always)]
fn xor_all<const TEST: bool>(key: [u8; 4], data: &mut [u8]) -> u64 {
    let key = u32::from_le_bytes(key);
    let word = u64::from(key) << 32 | u64::from(key);
    let Some(tail_at) = data.len().checked_sub(WORD) else { return xor_few(word, data) };
    // The last bytes are XORed as one word, which overlaps the words before. So it is read before those are changed.
    let last = data.last_chunk::<WORD>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let mut lanes = [0; BLOCK / WORD];
    let (blocks, rest) = data.as_chunks_mut::<BLOCK>();
    for block in blocks {
        for (bytes, bits) in block.as_chunks_mut::<WORD>().0.iter_mut().zip(&mut lanes) {
            let xored = u64::from_le_bytes(*bytes) ^ word;
            *bytes = xored.to_le_bytes();
            *bits |= if TEST { xored } else { 0 };
        }
    }
    let mut seen = lanes.iter().fold(0, |seen, bits| seen | bits);
    for bytes in rest.as_chunks_mut::<WORD>().0 {
        let xored = u64::from_le_bytes(*bytes) ^ word;
        *bytes = xored.to_le_bytes();
        seen |= xored;
    }
    if tail_at % WORD != 0
        && let Some(bytes) = data.last_chunk_mut::<WORD>()
    {
        let xored = last ^ word.rotate_right(8 * (tail_at % 4) as u32);
        *bytes = xored.to_le_bytes();
        seen |= xored;
    }
    seen
}

/// XORs fewer bytes than a word has.
#[inline(always)]
fn xor_few(word: u64, data: &mut [u8]) -> u64 {
    let mut seen = 0;
    for (byte, key) in data.iter_mut().zip(word.to_le_bytes()) {
        *byte ^= key;
        seen |= u64::from(*byte);
    }
    seen
}

/// Writes `source`, XORed with the repeating key, to `target`, which has the same length. It makes one pass over
/// both: libc's copy is many times slower at some distances between the two, and a second pass would miss the cache.
#[inline(always)]
pub(super) fn copy(key: [u8; 4], source: &[u8], target: &mut [u8]) {
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (from_words, from_rest) = source.as_chunks::<WORD>();
    let (to_words, to_rest) = target.as_chunks_mut::<WORD>();
    for (from, to) in from_words.iter().zip(to_words) {
        *to = (u64::from_ne_bytes(*from) ^ word).to_ne_bytes();
    }
    for ((from, to), key_byte) in from_rest.iter().zip(to_rest).zip(key.iter().cycle()) {
        *to = from ^ key_byte;
    }
}
