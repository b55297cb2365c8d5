/// Bytes per step of the main loop: whole vectors, whatever their width.
const BLOCK: usize = 64;
const WORD: usize = 8;

/// XORs `data` with the repeating key. Inlined into each of its callers, to be compiled for their instruction set.
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

#[inline(always)]
fn xor(bytes: &mut [u8; WORD], word: u64) {
    *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
}
