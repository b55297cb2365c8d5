use flate2::{Compress, Compression, FlushCompress};
use proptest::{collection::vec, num::u8::ANY, prelude::prop_assert_eq};

use super::{MOST, SmallInflater};
use crate::deflate::{Inflated, Inflater};

/// A message as the library compresses it.
fn compress(payload: &[u8], level: u32) -> Vec<u8> {
    let mut raw = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(payload.len() + 1024);
    raw.compress_vec(payload, &mut out, FlushCompress::Sync).expect("valid");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]), "the whole message in one call");
    out.truncate(out.len() - 4);
    out
}

fn inflate_small(input: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut output = vec![0; room];
    let len = SmallInflater::new().inflate(input, &mut output)?;
    output.truncate(len);
    Some(output)
}

/// What the library makes of it, up to `room` bytes.
fn inflate_by_library(mut input: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut output = vec![0; room];
    match Inflater::default().inflate(&mut input, true, &mut output) {
        Ok(Inflated::Done(len)) => {
            output.truncate(len);
            Some(output)
        }
        Ok(Inflated::More(_)) | Err(()) => None,
    }
}

/// Checks that the library accepts what is accepted, with the same result.
fn compare(input: &[u8], room: usize) {
    if let Some(output) = inflate_small(input, room) {
        assert_eq!(inflate_by_library(input, room), Some(output), "{input:02x?}");
    }
}

/// Records whose names repeat and whose numbers do not.
fn records(count: u32) -> Vec<u8> {
    let record = |n: u32| {
        let (price, amount) = (n.wrapping_mul(2_654_435_761) % 90_000, n.wrapping_mul(40_503) % 100_000);
        format!("{{\"symbol\":\"BTC-EUR\",\"side\":\"buy\",\"price\":{price}.25,\"amount\":0.{amount:05}}},")
    };
    (0..count).map(record).collect::<String>().into_bytes()
}

#[test]
fn messages_of_every_level_are_inflated() {
    for level in 1..=9 {
        for count in [1, 2, 5, 12, 40, 150] {
            let payload = records(count);
            let compressed = compress(&payload, level);
            assert!(compressed.len() <= MOST);
            let inflated = inflate_small(&compressed, payload.len());
            assert!(inflated.as_deref() == Some(&payload[..]), "level {level}, {count} records");
        }
    }
}

#[test]
fn runs_and_matches_at_every_distance_are_inflated() {
    for distance in (1..40).chain([100, 255, 256, 257, 1000, 3000]) {
        let unit: Vec<u8> = records(60)[..distance].to_vec();
        let payload = unit.iter().copied().cycle().take(distance + 600).collect::<Vec<_>>();
        for level in [1, 6] {
            let inflated = inflate_small(&compress(&payload, level), payload.len());
            assert!(inflated.as_deref() == Some(&payload[..]), "distance {distance}, level {level}");
        }
    }
}

#[test]
fn the_examples_of_the_rfc_that_are_usual_are_inflated() {
    // RFC 7692 section 7.2.3.1, then a message of two blocks (7.2.3.1), and an empty one (7.2.3.6).
    assert_eq!(inflate_small(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5).as_deref(), Some(&b"Hello"[..]));
    assert_eq!(inflate_small(&[0x00], 5).as_deref(), Some(&b""[..]));
    // A stored block (7.2.3.3) and a last block (7.2.3.4) are left to the library.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    for left in [&stored[..], &last] {
        assert_eq!(inflate_small(left, 5), None);
        assert_eq!(inflate_by_library(left, 6).as_deref(), Some(&b"Hello"[..]));
    }
}

#[test]
fn a_message_that_does_not_fit_is_left_to_the_library() {
    let payload = records(5);
    let compressed = compress(&payload, 6);
    for room in 0..payload.len() {
        assert_eq!(inflate_small(&compressed, room), None);
    }
}

#[test]
fn no_truncated_message_is_accepted() {
    for level in [1, 6] {
        let compressed = compress(&records(5), level);
        for len in 0..compressed.len() {
            assert_eq!(inflate_small(&compressed[..len], 4096), None, "{len} of {} bytes", compressed.len());
        }
    }
}

#[test]
fn a_reference_before_the_beginning_is_refused() {
    let compressed = compress(&b"abcd".repeat(20), 6);
    for changed in 0..compressed.len() {
        for byte in 0..=255 {
            let mut compressed = compressed.clone();
            compressed[changed] = byte;
            compare(&compressed, 512);
        }
    }
}

proptest::proptest! {
    #[test]
    fn what_the_library_compresses_is_inflated_to_the_original(
        words in vec(vec(ANY, 1..12), 1..30),
        order in vec(0_usize..30, 0..300),
        level in 1_u32..=9,
    ) {
        let payload: Vec<u8> = order.iter().flat_map(|at| words[at % words.len()].clone()).collect();
        let compressed = compress(&payload, level);
        // Data that does not shrink is in stored blocks.
        if let Some(inflated) = inflate_small(&compressed, payload.len()) {
            prop_assert_eq!(inflated, payload);
        }
    }

    #[test]
    fn nothing_is_accepted_that_the_library_refuses(
        count in 1_u32..12,
        level in 1_u32..=9,
        changes in vec((ANY, 0_usize..1000), 1..4),
        shorter in 0_usize..3,
    ) {
        let mut compressed = compress(&records(count), level);
        for (bits, at) in changes {
            let at = at % compressed.len();
            compressed[at] ^= bits;
        }
        compressed.truncate(compressed.len() - shorter.min(compressed.len()));
        compare(&compressed, 4096);
    }

    #[test]
    fn nothing_is_accepted_of_arbitrary_bytes_that_the_library_refuses(input in vec(ANY, 0..60)) {
        compare(&input, 1024);
    }
}
