//! The wire checker must refuse invalid frames, for any split of the bytes.

use super::super::wire::Walker;

/// The rule that these bytes of a client or a server violate. It must be the same for one piece and for single bytes.
fn law(by_client: bool, may_compress: bool, bytes: &[u8]) -> Option<String> {
    let mut walker = Walker::new(by_client, may_compress);
    let whole = walker.feed(bytes).err();
    let mut walker = Walker::new(by_client, may_compress);
    let pieces = bytes.chunks(1).find_map(|byte| walker.feed(byte).err());
    assert_eq!(whole, pieces);
    whole
}

#[track_caller]
fn refuses(by_client: bool, bytes: &[u8], expected: &str) {
    let law = law(by_client, false, bytes).expect("refused");
    assert!(law.contains(expected), "{law}");
}

#[test]
fn valid_frames_are_counted() {
    let mut walker = Walker::new(false, false);
    let long = [&b"\x82\x7e\x00\x7e"[..], &[7; 126]].concat();
    walker.feed(&[b"\x81\x02hi\x89\x00\x8a\x01x", &long[..], b"\x88\x05\x03\xe8bye"].concat()).unwrap();
    assert_eq!((walker.messages, walker.close.as_deref()), (2, Some(&b"\x03\xe8bye"[..])));
    let mut walker = Walker::new(true, false);
    walker.feed(b"\x81\x81\x00\x00\x00\x01h\x88\x82\x01\x01\x01\x01\x02\xe9").unwrap();
    assert_eq!((walker.messages, walker.close.as_deref()), (1, Some(&b"\x03\xe8"[..])));
    assert_eq!(law(false, true, b"\x41\x01a\x89\x00\x00\x01b\x80\x00"), None);
}

#[test]
fn invalid_frames_are_refused() {
    refuses(false, b"\x83\x00", "opcode");
    refuses(false, b"\xc1\x00", "reserved bit");
    refuses(false, b"\x81\x80\0\0\0\0", "masked");
    refuses(true, b"\x81\x00", "masked");
    refuses(false, b"\x81\x7e\x00\x7d", "shortest");
    refuses(false, b"\x81\x7f\0\0\0\0\0\0\xff\xff", "shortest");
    refuses(false, b"\x81\x7f\x80\0\0\0\0\0\0\0", "shortest");
    refuses(false, b"\x09\x00", "control frame of one piece");
    refuses(false, b"\x89\x7e\x00\x7e", "control frame of one piece");
    refuses(false, b"\x01\x00", "one frame");
    refuses(false, b"\x80\x00", "fragments");
    refuses(true, b"\x81\x80\x01\x02\x03\x04\x81\x80\x01\x02\x03\x04", "fresh key");
    refuses(false, b"\x88\x02\x03\xed", "code that may be sent");
    refuses(false, b"\x88\x01\x03", "code that may be sent");
    refuses(false, b"\x88\x03\x03\xe8\xff", "code that may be sent");
    refuses(false, b"\x88\x00\x81\x00", "after a Close");
    assert!(law(false, true, b"\x41\x01a\x81\x00").is_some_and(|law| law.contains("fragments")));
    assert!(law(false, true, b"\x41\x01a\xc0\x00").is_some_and(|law| law.contains("reserved bit")));
}
