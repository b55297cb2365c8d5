//! Envelopes between the nodes of a cluster, compared with a reference decoder that was written from their table alone.

use bytes::Bytes;
use ws_cluster::{
    Envelope, EnvelopeError,
    envelope::{Kind, MAX_OVERHEAD},
};

pub fn envelope(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    match (Envelope::decode(&bytes), reference_decoder(data)) {
        (Ok(envelope), Some(expected)) => {
            let kind = match envelope.kind {
                Kind::Publication => 1,
                Kind::Joined => 2,
                Kind::Left => 3,
                kind => panic!("{kind:?}"),
            };
            let deadline = envelope.deadline.map(|deadline| deadline.as_millis());
            let found = Reference {
                kind,
                node: envelope.node,
                sequence: envelope.sequence,
                member: envelope.member,
                deadline: deadline.map(|millis| millis.try_into().expect("32 bits")),
                key: envelope.key.as_deref(),
                is_text: envelope.message.is_text(),
                may_compress: envelope.may_compress,
                is_kept: envelope.is_kept,
                payload: envelope.message.as_bytes(),
            };
            assert_eq!(found, expected);
            assert_eq!(envelope.encode().expect("its key is short"), bytes, "the only encoding");
            let key_len = envelope.key.as_ref().map_or(0, |key| key.len() + 2);
            assert!(bytes.len() - envelope.message.len() - key_len <= MAX_OVERHEAD);
        }
        (Err(error), None) => check_error(&bytes, error),
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

/// What is missing makes the error go away.
fn check_error(bytes: &Bytes, error: EnvelopeError) {
    if let EnvelopeError::Truncated { len, needed } = error {
        assert!(len == bytes.len() && needed > len, "{error}");
        let mut longer = bytes.to_vec();
        longer.resize(needed, b'x');
        let is_longer = match Envelope::decode(&longer.into()) {
            Err(EnvelopeError::Truncated { needed: next, .. }) => next > needed,
            _ => true,
        };
        assert!(is_longer, "{error}");
    }
}

#[derive(Debug, PartialEq)]
struct Reference<'a> {
    kind: u8,
    node: u64,
    sequence: u64,
    member: Option<u64>,
    deadline: Option<u32>,
    key: Option<&'a [u8]>,
    is_text: bool,
    may_compress: bool,
    is_kept: bool,
    payload: &'a [u8],
}

/// The reference decoder. `None`: these bytes are not an envelope.
fn reference_decoder(data: &[u8]) -> Option<Reference<'_>> {
    let ([version, kind, flags], mut rest) = data.split_first_chunk()?;
    if *version != 1 || !(1..=3).contains(kind) || *flags > 63 {
        return None;
    }
    let mut take = |len: usize| {
        let (taken, left) = rest.split_at_checked(len)?;
        rest = left;
        Some(taken)
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let node = number(take(8)?);
    let sequence = number(take(8)?);
    let member = if flags & 4 == 0 { None } else { Some(number(take(8)?)) };
    let deadline = if flags & 8 == 0 { None } else { u32::try_from(number(take(4)?)).ok() };
    let key = if flags & 16 == 0 {
        None
    } else {
        let len = usize::try_from(number(take(2)?)).ok()?;
        Some(take(len)?)
    };
    let is_text = flags & 1 != 0;
    if is_text && std::str::from_utf8(rest).is_err() {
        return None;
    }
    let (may_compress, is_kept) = (flags & 2 == 0, flags & 32 == 0);
    Some(Reference { kind: *kind, node, sequence, member, deadline, key, is_text, may_compress, is_kept, payload: rest })
}
