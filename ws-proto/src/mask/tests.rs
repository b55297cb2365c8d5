use proptest::prelude::*;

use super::{Mask, append_masked, apply_mask, apply_mask_and_test, body};

/// Distance between the lengths that are tested: 1, or more under Miri, which is slow.
const STEP: usize = if cfg!(miri) { 37 } else { 1 };

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The definition in RFC 6455 section 5.3, byte by byte.
fn reference_mask(key: [u8; 4], phase: usize, data: &[u8]) -> Vec<u8> {
    data.iter().enumerate().map(|(i, byte)| byte ^ key[(i + phase) % 4]).collect()
}

fn masked(key: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut copy = data.to_vec();
    apply_mask(key, &mut copy);
    copy
}

#[test]
fn an_empty_payload_stays_empty() {
    assert_eq!(masked(KEY, &[]), Vec::<u8>::new());
}

#[test]
fn the_first_byte_is_masked_with_the_first_key_byte() {
    assert_eq!(masked([0xff, 0, 0, 0], &[0x42]), [0xbd]);
}

#[test]
fn the_example_of_rfc_6455_section_5_7_is_masked() {
    assert_eq!(masked(KEY, b"Hello"), [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
}

#[test]
fn a_zero_key_changes_nothing_and_an_all_ones_key_inverts() {
    assert_eq!(masked([0; 4], b"anything"), b"anything");
    assert_eq!(masked([0xff; 4], &[0x00, 0xff, 0xaa, 0x55]), [0xff, 0x00, 0x55, 0xaa]);
    assert_eq!(masked([0xff; 4], &[1, 2, 3, 4, 5, 6, 7, 8]), [254, 253, 252, 251, 250, 249, 248, 247]);
}

#[test]
fn masking_twice_restores_the_payload() {
    let original: Vec<u8> = (0..=255).collect();
    let once = masked(KEY, &original);
    assert_ne!(once, original);
    assert_eq!(masked(KEY, &once), original);
}

#[test]
fn a_byte_that_is_not_ascii_is_found_at_every_place_of_every_length() {
    for len in (0..=300).step_by(STEP) {
        let ascii: Vec<u8> = (0..len).map(|at| (at % 128) as u8).collect();
        for at in (0..=len).step_by(STEP) {
            let mut text = ascii.clone();
            if let Some(byte) = text.get_mut(at) {
                *byte |= 0x80;
            }
            let mut buffer = reference_mask(KEY, 0, &text);
            assert_eq!(apply_mask_and_test(KEY, &mut buffer), at == len, "byte {at} of {len}");
            assert_eq!(buffer, text);
        }
    }
}

#[test]
fn every_length_and_alignment_agrees_with_the_definition() {
    let source: Vec<u8> = (0..400_u32).map(|i| (i * 7 + 3) as u8).collect();
    for offset in (0..64).step_by(STEP) {
        for len in (0..=300).step_by(STEP) {
            let mut buffer = source.clone();
            apply_mask(KEY, &mut buffer[offset..offset + len]);
            assert_eq!(buffer[..offset], source[..offset], "bytes before the range changed");
            assert_eq!(buffer[offset..offset + len], reference_mask(KEY, 0, &source[offset..offset + len]));
            assert_eq!(buffer[offset + len..], source[offset + len..], "bytes after the range changed");
        }
    }
}

#[test]
fn the_portable_body_agrees_with_the_definition() {
    let source: Vec<u8> = (0..1000_u32).map(|i| (i * 11 + 5) as u8).collect();
    for len in (0..source.len()).step_by(STEP) {
        let mut buffer = source[..len].to_vec();
        body::apply(KEY, &mut buffer);
        assert_eq!(buffer, reference_mask(KEY, 0, &source[..len]));
    }
}

#[test]
fn a_masked_copy_is_appended_and_the_source_is_unchanged() {
    let source: Vec<u8> = (0..700_u32).map(|i| (i * 13 + 1) as u8).collect();
    for len in (0..source.len()).step_by(STEP) {
        let mut target = b"before".to_vec();
        append_masked(KEY, &source[..len], &mut target);
        assert_eq!(target[..6], *b"before");
        assert_eq!(target[6..], reference_mask(KEY, 0, &source[..len]));
    }
}

proptest! {
    #[test]
    fn masking_in_pieces_equals_masking_at_once(
        key in any::<[u8; 4]>(),
        data in proptest::collection::vec(any::<u8>(), 0..600),
        cuts in proptest::collection::vec(0_usize..100, 0..12),
    ) {
        let mut pieces = data.clone();
        let mut mask = Mask::new(key);
        let mut rest = pieces.as_mut_slice();
        for cut in cuts {
            let (piece, tail) = rest.split_at_mut(cut.min(rest.len()));
            mask.apply(piece);
            rest = tail;
        }
        mask.apply(rest);
        prop_assert_eq!(pieces, reference_mask(key, 0, &data));
    }
}
