/// Bytes per step of the main loop: a multiple of every vector width.
const BLOCK: usize = 64;
const WORD: usize = 8;

/// XORs `data` with the repeating key. It is inlined into each caller, to be compiled for the caller's instruction
/// set.
#[inline(always)]
pub(super) fn apply(key: [u8; 4], data: &mut [u8]) {
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (blocks, rest) = data.as_chunks_mut::<BLOCK>();
    for block in blocks {
        for bytes in block.as_chunks_mut::<WORD>().0 {
            xor(bytes, word);
        }
    }
    let (words, rest) = rest.as_chunks_mut::<WORD>();
    for bytes in words {
        xor(bytes, word);
    }
    for (byte, key_byte) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key_byte;
    }
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

#[inline(always)]
fn xor(bytes: &mut [u8; WORD], word: u64) {
    *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
}
