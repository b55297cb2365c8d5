use super::{MOST, deflate};
use crate::deflate::{Inflated, Inflater};

/// Inflates with a window of `window_bits`, using the library alone.
fn inflate_within(compressed: &[u8], window_bits: u8, len: usize) -> Vec<u8> {
    let mut raw = flate2::Decompress::new_with_window_bits(false, window_bits);
    let mut out = Vec::with_capacity(len + 1);
    let input = [compressed, &[0, 0, 0xff, 0xff]].concat();
    raw.decompress_vec(&input, &mut out, flate2::FlushDecompress::Sync).expect("valid");
    assert_eq!(raw.total_in() as usize, input.len(), "all input is read");
    out
}

fn compress_small(payload: &[u8], window_bits: u8) -> Vec<u8> {
    let mut out = Vec::new();
    deflate(payload, window_bits, &mut out);
    assert!((1..=payload.len() + payload.len() / 8 + 16).contains(&out.len()));
    assert_eq!(inflate_within(&out, window_bits, payload.len()), payload, "{window_bits} bits");
    let (mut input, mut inflated) = (&out[..], vec![0; payload.len() + 1]);
    let done = Inflater::default().inflate(&mut input, true, &mut inflated);
    assert_eq!(done, Ok(Inflated::Done(payload.len())));
    assert_eq!(&inflated[..payload.len()], payload);
    out
}

#[test]
fn the_small_encoder_compresses_hello_as_the_rfc_does() {
    assert_eq!(compress_small(b"Hello", 15), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(compress_small(b"", 15), [0x02, 0x00]);
}

#[test]
fn repetitions_of_every_length_and_distance_are_found() {
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let unique: Vec<u8> = (0..MOST).map(|_| random()).collect();
    for length in (4..=258).chain([259, 300, 515, 516, 517, 518, 1000]) {
        let payload = [&unique[..1000], &unique[..length]].concat();
        assert!(compress_small(&payload, 15).len() < 1100, "a repetition of {length} bytes");
    }
    for distance in [1, 2, 3, 4, 5, 100, 512, 513, 1024, 5000, 16_384, 30_000] {
        let payload =
            [&unique[..distance], &unique[..distance.min(1000)], &unique[..distance.min(4)]].concat();
        compress_small(&payload, 15);
        compress_small(&payload, 9);
        compress_small(&payload, 12);
    }
    compress_small(&vec![b'a'; MOST], 9);
    compress_small(&unique, 15);
    let text = b"{\"symbol\":\"BTC-EUR\",\"price\":42},".repeat(20);
    assert!(compress_small(&text, 15).len() < text.len() / 8);
}

proptest::proptest! {
    #[test]
    fn what_the_small_encoder_compresses_inflates_to_the_original(
        words in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 1..12), 1..30),
        order in proptest::collection::vec(0_usize..30, 0..400),
        window_bits in 9_u8..=15,
    ) {
        let payload: Vec<u8> = order.iter().flat_map(|at| words[at % words.len()].clone()).collect();
        compress_small(&payload, window_bits);
    }
}
