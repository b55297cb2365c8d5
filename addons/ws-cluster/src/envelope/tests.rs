use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use ws_server::Message;

use super::{Envelope, EnvelopeError, Kind, MAX_KEY, MAX_OVERHEAD};

fn envelopes() -> impl Strategy<Value = Envelope> {
    let kind = prop_oneof![Just(Kind::Publication), Just(Kind::Joined), Just(Kind::Left)];
    let message = prop_oneof![
        any::<String>().prop_map(Message::from),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Message::from),
    ];
    let key = prop::option::of(prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from));
    let deadline = prop::option::of(any::<u32>().prop_map(|millis| Duration::from_millis(millis.into())));
    (kind, any::<(u64, u64, Option<u64>, bool, bool)>(), deadline, key, message).prop_map(
        |(kind, (node, sequence, member, may_compress, is_kept), deadline, key, message)| Envelope {
            member,
            deadline,
            key,
            may_compress,
            is_kept,
            ..Envelope::new(kind, node, sequence, message)
        },
    )
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(envelope in envelopes()) {
        let bytes = envelope.encode().unwrap();
        prop_assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
    }

    #[test]
    fn the_overhead_is_at_most_32_bytes_without_a_key(mut envelope in envelopes()) {
        envelope.key = None;
        let overhead = envelope.encode().unwrap().len() - envelope.message.len();
        prop_assert!(overhead <= MAX_OVERHEAD && MAX_OVERHEAD <= 32, "{}", overhead);
    }

    #[test]
    fn any_bytes_give_an_envelope_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let bytes = Bytes::from(bytes);
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert_eq!(envelope.encode().unwrap(), bytes, "one encoding for each envelope");
        }
    }

    #[test]
    fn a_truncated_head_is_an_error(envelope in envelopes(), cut in any::<prop::sample::Index>()) {
        let bytes = envelope.encode().unwrap();
        let head = bytes.len() - envelope.message.len();
        let len = cut.index(head);
        let is_truncated = matches!(Envelope::decode(&bytes.slice(..len)), Err(EnvelopeError::Truncated { .. }));
        prop_assert!(is_truncated);
    }

    #[test]
    fn another_version_is_an_error(envelope in envelopes(), version in any::<u8>().prop_filter("other", |v| *v != 1)) {
        let mut bytes = envelope.encode().unwrap().to_vec();
        bytes[0] = version;
        prop_assert_eq!(Envelope::decode(&bytes.into()), Err(EnvelopeError::Version(version)));
    }
}

#[test]
fn the_bytes_are_those_that_the_documentation_names() {
    let mut envelope = Envelope::publication(0x0102_0304_0506_0708, 9, "hi");
    assert_eq!(
        envelope.encode().unwrap(),
        &b"\x01\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\x09hi"[..]
    );
    envelope.member = Some(5);
    envelope.deadline = Some(Duration::from_millis(258));
    envelope.key = Some(Bytes::from_static(b"key"));
    envelope.may_compress = false;
    envelope.is_kept = false;
    let bytes = envelope.encode().unwrap();
    assert_eq!(bytes[1..3], [1, 1 | 2 | 4 | 8 | 16 | 32]);
    assert_eq!(bytes[19..], b"\0\0\0\0\0\0\0\x05\0\0\x01\x02\0\x03keyhi"[..]);
}

#[test]
fn text_must_be_utf_8() {
    let mut bytes = Envelope::publication(1, 2, &b"\xff"[..]).encode().unwrap().to_vec();
    assert!(Envelope::decode(&bytes.clone().into()).unwrap().message.is_binary());
    bytes[2] |= 1;
    assert_eq!(Envelope::decode(&bytes.into()), Err(EnvelopeError::NotUtf8));
}

#[test]
fn unknown_kinds_and_flags_are_errors() {
    let bytes = Envelope::publication(1, 2, "text").encode().unwrap();
    let with = |index: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[index] = value;
        Envelope::decode(&bytes.into())
    };
    assert_eq!(with(1, 4), Err(EnvelopeError::Kind(4)));
    assert_eq!(with(2, 0x41), Err(EnvelopeError::Flags(0x41)));
}

#[test]
fn a_payload_is_not_copied() {
    let bytes = Envelope::publication(1, 2, "payload").encode().unwrap();
    let message = Envelope::decode(&bytes).unwrap().message;
    assert!(bytes.as_ptr_range().contains(&message.as_bytes().as_ptr()));
}

#[test]
fn a_key_that_is_too_long_is_refused() {
    let mut envelope = Envelope::publication(1, 2, "payload");
    envelope.key = Some(vec![0; MAX_KEY].into());
    assert!(envelope.encode().is_ok());
    envelope.key = Some(vec![0; MAX_KEY + 1].into());
    assert_eq!(envelope.encode(), Err(EnvelopeError::KeyTooLong(MAX_KEY + 1)));
}

#[test]
fn debug_prints_no_payload() {
    let text = format!("{:?}", Envelope::publication(1, 2, "secret"));
    assert!(text.contains("6 bytes") && !text.contains("secret"), "{text}");
}
