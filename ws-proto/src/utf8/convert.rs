//! Conversions of [`Utf8Bytes`], and comparisons with other text.

use std::{borrow::Cow, cmp::Ordering, convert::Infallible, str::FromStr};

use bytes::{Bytes, BytesMut};

use super::{InvalidUtf8, Utf8Bytes, is_valid_utf8};

impl From<&str> for Utf8Bytes {
    fn from(text: &str) -> Self {
        Self::from_validated(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<&String> for Utf8Bytes {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Utf8Bytes {
    fn from(text: String) -> Self {
        Self::from_validated(text.into())
    }
}

impl From<Box<str>> for Utf8Bytes {
    fn from(text: Box<str>) -> Self {
        text.into_string().into()
    }
}

impl From<Cow<'_, str>> for Utf8Bytes {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl FromStr for Utf8Bytes {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl TryFrom<Bytes> for Utf8Bytes {
    type Error = InvalidUtf8;

    fn try_from(bytes: Bytes) -> Result<Self, InvalidUtf8> {
        if is_valid_utf8(&bytes) { Ok(Self::from_validated(bytes)) } else { Err(InvalidUtf8) }
    }
}

impl TryFrom<BytesMut> for Utf8Bytes {
    type Error = InvalidUtf8;

    fn try_from(bytes: BytesMut) -> Result<Self, InvalidUtf8> {
        bytes.freeze().try_into()
    }
}

impl TryFrom<Vec<u8>> for Utf8Bytes {
    type Error = InvalidUtf8;

    fn try_from(bytes: Vec<u8>) -> Result<Self, InvalidUtf8> {
        Bytes::from(bytes).try_into()
    }
}

impl TryFrom<&[u8]> for Utf8Bytes {
    type Error = InvalidUtf8;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidUtf8> {
        if is_valid_utf8(bytes) {
            Ok(Self::from_validated(Bytes::copy_from_slice(bytes)))
        } else {
            Err(InvalidUtf8)
        }
    }
}

impl From<Utf8Bytes> for String {
    fn from(text: Utf8Bytes) -> Self {
        text.into_string()
    }
}

impl From<Utf8Bytes> for Vec<u8> {
    fn from(text: Utf8Bytes) -> Self {
        text.into_bytes().into()
    }
}

macro_rules! compares_with {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for Utf8Bytes {
            fn eq(&self, other: &$other) -> bool {
                let other: &str = other.as_ref();
                self.as_str() == other
            }
        }

        impl PartialEq<Utf8Bytes> for $other {
            fn eq(&self, other: &Utf8Bytes) -> bool {
                other == self
            }
        }

        impl PartialOrd<$other> for Utf8Bytes {
            fn partial_cmp(&self, other: &$other) -> Option<Ordering> {
                let other: &str = other.as_ref();
                self.as_str().partial_cmp(other)
            }
        }

        impl PartialOrd<Utf8Bytes> for $other {
            fn partial_cmp(&self, other: &Utf8Bytes) -> Option<Ordering> {
                other.partial_cmp(self).map(Ordering::reverse)
            }
        }
    )*};
}

compares_with!(str, &str, String, Cow<'_, str>);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn what_people_type_becomes_text() {
        let owned = "text".to_owned();
        let texts: [Utf8Bytes; 7] = [
            "text".into(),
            (&owned).into(),
            owned.clone().into(),
            owned.clone().into_boxed_str().into(),
            Cow::Borrowed("text").into(),
            "text".parse().unwrap(),
            Utf8Bytes::from_static("text"),
        ];
        for text in texts {
            assert_eq!(text, "text");
            assert_eq!(String::from(text.clone()), "text");
            assert_eq!(Vec::from(text.clone()), b"text");
            assert_eq!(Bytes::from(text), "text");
        }
        assert_eq!(Utf8Bytes::default(), "");
    }

    #[test]
    fn bytes_become_text_if_they_are_valid() {
        for (bytes, valid) in [(&b"text"[..], true), (b"\xc3\xa9", true), (b"\xc3", false), (b"a\xff", false)]
        {
            let expected = valid.then(|| std::str::from_utf8(bytes).unwrap());
            let converted = [
                Utf8Bytes::try_from(bytes),
                Utf8Bytes::try_from(bytes.to_vec()),
                Utf8Bytes::try_from(Bytes::copy_from_slice(bytes)),
                Utf8Bytes::try_from(BytesMut::from(bytes)),
            ];
            for text in converted {
                assert_eq!(text.as_deref().ok(), expected);
            }
        }
    }

    #[test]
    fn conversions_of_owned_text_do_not_copy() {
        let text = "a text that is long enough".to_owned();
        let at = text.as_ptr();
        let text = Utf8Bytes::from(text);
        assert_eq!(text.as_ptr(), at);
        let bytes: Vec<u8> = text.into();
        assert_eq!(bytes.as_ptr(), at);
    }

    #[test]
    fn text_compares_with_other_text_in_both_directions() {
        let text = Utf8Bytes::from("b");
        let (string, cow) = ("b".to_owned(), Cow::Borrowed("b"));
        assert!(text == *"b" && text == "b" && text == string && text == cow);
        assert!(*"b" == text && "b" == text && string == text && cow == text);
        let (string, cow) = ("a".to_owned(), Cow::Borrowed("c"));
        assert!(text != string && cow != text);
        assert!(text < *"c" && text < "c" && text > string && text < cow);
        assert!(*"c" > text && "c" > text && string < text && cow > text);
    }

    #[test]
    fn a_set_of_text_finds_a_str() {
        let text = || ["a", "é"].map(Utf8Bytes::from_static);
        assert!(HashSet::from(text()).contains("é"));
        assert!(BTreeSet::from(text()).contains("é"));
    }
}
