//! What a node stores about the presence in a topic: the version, then member, length and data of each.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const VERSION: u8 = 1;

pub(super) fn encode(present: &[(u64, Bytes)]) -> Bytes {
    let len = 1 + present.iter().map(|(_, data)| 12 + data.len()).sum::<usize>();
    let mut bytes = BytesMut::with_capacity(len);
    bytes.put_u8(VERSION);
    for (member, data) in present {
        // Topics limit the data to far less than 4 GiB.
        let Ok(len) = u32::try_from(data.len()) else { continue };
        bytes.put_u64(*member);
        bytes.put_u32(len);
        bytes.put_slice(data);
    }
    bytes.freeze()
}

/// `None` if these bytes are not a snapshot.
pub(super) fn decode(bytes: &Bytes) -> Option<Vec<(u64, Bytes)>> {
    let mut rest = bytes.clone();
    if rest.is_empty() || rest.get_u8() != VERSION {
        return None;
    }
    let mut present = Vec::new();
    while rest.has_remaining() {
        if rest.remaining() < 12 {
            return None;
        }
        let member = rest.get_u64();
        let len = usize::try_from(rest.get_u32()).ok()?;
        if rest.remaining() < len {
            return None;
        }
        present.push((member, rest.split_to(len)));
    }
    Some(present)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            present in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..20)), 0..5),
        ) {
            let present: Vec<_> = present.into_iter().map(|(member, data)| (member, Bytes::from(data))).collect();
            prop_assert_eq!(decode(&encode(&present)), Some(present));
        }

        #[test]
        fn any_bytes_give_a_snapshot_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let bytes = Bytes::from(bytes);
            if let Some(present) = decode(&bytes) {
                prop_assert_eq!(encode(&present), bytes);
            }
        }
    }
}
