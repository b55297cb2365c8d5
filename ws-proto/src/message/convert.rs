//! Conversions into messages, and comparisons with them.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::utf8::Utf8Bytes;

use super::Message;

macro_rules! text_from {
    ($($from:ty),*) => {$(
        impl From<$from> for Message {
            fn from(text: $from) -> Self {
                Self::Text(text.into())
            }
        }
    )*};
}

text_from!(&str, String, &String, Box<str>, Cow<'_, str>, Utf8Bytes);

macro_rules! binary_from {
    ($($from:ty),*) => {$(
        impl From<$from> for Message {
            fn from(payload: $from) -> Self {
                Self::Binary(payload.into())
            }
        }
    )*};
}

binary_from!(Bytes, BytesMut, Vec<u8>, Box<[u8]>);

impl From<&[u8]> for Message {
    fn from(payload: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(payload))
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(payload: &[u8; N]) -> Self {
        Self::from(&payload[..])
    }
}

impl From<&Vec<u8>> for Message {
    fn from(payload: &Vec<u8>) -> Self {
        Self::from(&payload[..])
    }
}

macro_rules! equals_text {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for Message {
            fn eq(&self, other: &$other) -> bool {
                let other: &str = other.as_ref();
                self.as_text() == Some(other)
            }
        }
    )*};
}

equals_text!(str, &str, String, Cow<'_, str>, Utf8Bytes);

macro_rules! equals_binary {
    ($([$($of:tt)*] $other:ty),*) => {$(
        impl $($of)* PartialEq<$other> for Message {
            fn eq(&self, other: &$other) -> bool {
                let other: &[u8] = other.as_ref();
                matches!(self, Self::Binary(payload) if *payload == other)
            }
        }
    )*};
}

equals_binary!([] [u8], [] &[u8], [<const N: usize>] [u8; N], [<const N: usize>] &[u8; N], [] Vec<u8>, [] Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_becomes_text() {
        let owned = "text".to_owned();
        let messages: [Message; 8] = [
            "text".into(),
            (&owned).into(),
            owned.clone().into(),
            owned.clone().into_boxed_str().into(),
            Cow::Borrowed("text").into(),
            Cow::<str>::Owned(owned).into(),
            Utf8Bytes::from_static("text").into(),
            Message::text("text"),
        ];
        for message in messages {
            assert!(message.is_text() && !message.is_binary());
            assert_eq!(message, "text");
            assert_eq!(message.as_text(), Some("text"));
            assert_eq!(message.into_text().unwrap(), "text");
        }
    }

    #[test]
    fn what_people_type_becomes_binary() {
        let owned = vec![1, 2, 3];
        let messages: [Message; 8] = [
            (&owned).into(),
            owned.clone().into(),
            owned.clone().into_boxed_slice().into(),
            owned.as_slice().into(),
            (&[1, 2, 3]).into(),
            Bytes::from_static(&[1, 2, 3]).into(),
            BytesMut::from(&[1, 2, 3][..]).into(),
            Message::binary(owned.clone()),
        ];
        for message in messages {
            assert!(message.is_binary() && !message.is_text());
            assert_eq!(message, [1, 2, 3]);
            assert_eq!(message.as_text(), None);
            assert_eq!(message.clone().into_text(), Err(message));
        }
    }

    #[test]
    fn an_owned_payload_is_not_copied() {
        let text = "a text that is long enough".to_owned();
        let at = text.as_ptr();
        let message = Message::from(text);
        assert_eq!(message.as_bytes().as_ptr(), at);
        assert_eq!(message.into_text().unwrap().into_bytes().as_ptr(), at);
        let payload = vec![7_u8; 100];
        let at = payload.as_ptr();
        assert_eq!(Message::from(payload).into_bytes().as_ptr(), at);
    }

    #[test]
    fn text_and_binary_are_never_equal() {
        let (text, binary) = (Message::text("ab"), Message::from(b"ab"));
        assert_ne!(text, binary);
        let (string, cow, bytes) = ("ab".to_owned(), Cow::Borrowed("ab"), Utf8Bytes::from("ab"));
        assert!(text == *"ab" && text == "ab" && text == string && text == cow && text == bytes);
        let (vec, slice, bytes) = (b"ab".to_vec(), &b"ab"[..], Bytes::from_static(b"ab"));
        assert!(binary == *b"ab" && binary == b"ab" && binary == *slice && binary == slice);
        assert!(binary == vec && binary == bytes && binary != b"b" && text != "b");
        assert!(text != b"ab" && binary != "ab");
    }
}
