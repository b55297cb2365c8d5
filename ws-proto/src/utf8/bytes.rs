//! Owned text. Besides masking, this is the only module of the crate with `unsafe`: a text message is validated once,
//! as it arrives, and is not validated again at each access.
#![allow(unsafe_code)]

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

use bytes::Bytes;

use super::is_valid_utf8;

/// Reference-counted bytes that are valid UTF-8: the payload of a text message. Cloning does not copy.
///
/// | from | how |
/// |---|---|
/// | `&'static str` | [`from_static`](Self::from_static), without a copy |
/// | `&str`, `&String`, and `str::parse` | `Utf8Bytes::from`, copies |
/// | `String`, `Box<str>`, `Cow<str>` | `Utf8Bytes::from`, without a copy of what is owned |
/// | `Vec<u8>`, [`Bytes`], [`BytesMut`](bytes::BytesMut) | `Utf8Bytes::try_from`, checked, without a copy |
/// | `&[u8]` | `Utf8Bytes::try_from`, checked, copies |
///
/// It converts into [`Bytes`] without a copy, and into `Vec<u8>` without one if there is no other clone. It
/// dereferences to `str`, and compares with `str`, `String` and `Cow<str>` in both directions.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utf8Bytes(Bytes);

impl Utf8Bytes {
    /// Creates text from a constant, without an allocation.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Wraps bytes that a validator has accepted, or that come from a `str`.
    #[inline]
    pub(crate) fn from_validated(bytes: Bytes) -> Self {
        debug_assert!(is_valid_utf8(&bytes));
        Self(bytes)
    }

    /// The text.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        str_from_validated(&self.0)
    }

    /// The text as a string of its own. This copies; [`into_bytes`](Self::into_bytes) does not.
    #[must_use]
    pub fn into_string(self) -> String {
        self.as_str().to_owned()
    }

    /// The bytes behind the text, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// The text of bytes that are known to be valid. Call it only for bytes that a validator has accepted.
#[inline]
pub(crate) fn str_from_validated(bytes: &[u8]) -> &str {
    debug_assert!(is_valid_utf8(bytes));
    // SAFETY: every caller passes bytes that `is_valid_utf8` accepted, that a `Utf8Validator` accepted from the first
    // to the last byte with a successful `finish`, or that come from a `str`: `Utf8Bytes` is only built from those,
    // and `MessageRef` marks a payload as validated only after the receive path did one of these checks.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

impl From<Utf8Bytes> for Bytes {
    fn from(text: Utf8Bytes) -> Self {
        text.0
    }
}

impl Deref for Utf8Bytes {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Utf8Bytes {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Utf8Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Hashes as a `str`, which [`Borrow`] requires and bytes do not do. Bytes and text have the same equality and order.
impl Hash for Utf8Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Utf8Bytes {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Debug for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
