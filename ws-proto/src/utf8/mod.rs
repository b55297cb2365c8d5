//! UTF-8 validation of whole slices, and of streams that are split anywhere (RFC 6455 section 8.1).
//! [`Utf8Bytes`] is in the root of this crate.

pub(crate) mod bytes;
mod convert;
mod validator;

pub(crate) use bytes::{Utf8Bytes, str_from_validated};
pub use validator::{InvalidUtf8, Utf8Validator, is_valid_utf8};

#[cfg(test)]
mod tests;
