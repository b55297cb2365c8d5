use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::{InvalidUtf8, Utf8Bytes, Utf8Validator, is_valid_utf8};

/// Feeds byte by byte. Returns the index of the refused byte, or the length if only `finish` refused it.
fn fails_at(bytes: &[u8]) -> Option<usize> {
    let mut validator = Utf8Validator::default();
    for (i, byte) in bytes.iter().enumerate() {
        if validator.feed(&[*byte]).is_err() {
            return Some(i);
        }
    }
    validator.finish().is_err().then_some(bytes.len())
}

#[test]
fn the_first_impossible_byte_is_refused() {
    let cases: [(&[u8], usize); 9] = [
        (b"\xf4\x90\x80\x80", 1), // beyond U+10FFFF
        (b"\xed\xa0\x80", 1),     // a surrogate
        (b"\xe0\x80\x80", 1),     // overlong
        (b"\xf0\x80\x80\x80", 1), // overlong
        (b"\xc0\xaf", 0),
        (b"\xff", 0),
        (b"\xf8\x88\x80\x80\x80", 0),
        (b"ok\x80", 2),
        (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 12),
    ];
    for (bytes, at) in cases {
        assert_eq!(fails_at(bytes), Some(at), "{bytes:x?}");
    }
}

#[test]
fn an_unfinished_character_is_refused_at_the_end() {
    for bytes in [&b"\xf0\x9f\x92"[..], b"\xe2\x82", b"\xc3", b"text\xf0"] {
        assert_eq!(fails_at(bytes), Some(bytes.len()));
    }
}

#[test]
fn finish_resets_the_validator() {
    let mut validator = Utf8Validator::default();
    validator.feed(b"\xe2\x82").unwrap();
    assert_eq!(validator.finish(), Err(InvalidUtf8));
    assert_eq!(validator.feed(b"fresh"), Ok(()));
    assert_eq!(validator.finish(), Ok(()));
}

#[test]
fn all_sequences_of_up_to_four_bytes_agree_with_std() {
    // Every byte at an edge of the table in RFC 3629 section 4.
    const EDGES: [u8; 22] = [
        0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xec, 0xed, 0xee,
        0xef, 0xf0, 0xf3, 0xf4, 0xf5,
    ];
    // Miri is slow.
    let edges = || EDGES.into_iter().step_by(if cfg!(miri) { 5 } else { 1 });
    for a in edges() {
        for b in edges() {
            for c in edges() {
                for d in edges() {
                    let bytes = [a, b, c, d];
                    for len in 1..=4 {
                        let bytes = &bytes[..len];
                        let valid = std::str::from_utf8(bytes).is_ok();
                        assert_eq!(fails_at(bytes).is_none(), valid, "{bytes:x?}");
                        assert_eq!(is_valid_utf8(bytes), valid, "{bytes:x?}");
                    }
                }
            }
        }
    }
}

#[test]
fn utf8_bytes_accept_only_utf8() {
    assert!(Utf8Bytes::try_from(Bytes::from_static(b"\xff")).is_err());
    let text = Utf8Bytes::try_from(Bytes::from_static("κόσμε".as_bytes())).unwrap();
    assert_eq!(text, "κόσμε");
    assert_eq!(format!("{text} {text:?}"), "κόσμε \"κόσμε\"");
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_result_of_std(
        text in ".{0,200}",
        poison in proptest::option::of((any::<u8>(), any::<prop::sample::Index>())),
        cuts in proptest::collection::vec(1_usize..40, 1..20),
    ) {
        let mut bytes = text.into_bytes();
        if let (Some((byte, at)), false) = (poison, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut validator = Utf8Validator::default();
        let mut rest = bytes.as_slice();
        let mut verdict = Ok(());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() || verdict.is_err() {
                break;
            }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            verdict = validator.feed(piece);
            rest = tail;
        }
        let verdict = verdict.and_then(|()| validator.finish());
        prop_assert_eq!(verdict.is_ok(), std::str::from_utf8(&bytes).is_ok());
    }
}

#[test]
fn owned_text_is_found_in_a_map_by_str() {
    let words = ["", "a", "caf\u{e9}", "\u{1f980}", "a longer one, beyond a hasher's block"];
    let hashed: HashMap<Utf8Bytes, usize> = words.into_iter().map(Utf8Bytes::from).zip(0..).collect();
    let sorted: BTreeMap<Utf8Bytes, usize> = words.into_iter().map(Utf8Bytes::from).zip(0..).collect();
    for (at, word) in words.into_iter().enumerate() {
        assert_eq!(hashed.get(word), Some(&at), "{word}");
        assert_eq!(sorted.get(word), Some(&at), "{word}");
    }
}

proptest! {
    #[test]
    fn owned_text_hashes_and_compares_as_a_str_does(one in ".*", other in ".*") {
        let owned = |text: &str| Utf8Bytes::from(text);
        let hash = |value: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            value(&mut hasher);
            hasher.finish()
        };
        prop_assert_eq!(hash(&|hasher| owned(&one).hash(hasher)), hash(&|hasher| one.hash(hasher)));
        prop_assert_eq!(owned(&one).cmp(&owned(&other)), one.cmp(&other));
        prop_assert_eq!(owned(&one) == owned(&other), one == other);
    }
}
