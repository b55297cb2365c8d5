//! UTF-8 validation of whole slices, and of streams that are split anywhere (RFC 6455 section 8.1).

mod bytes;
mod convert;
mod validator;

pub use bytes::Utf8Bytes;
pub(crate) use bytes::str_from_validated;
pub use validator::{InvalidUtf8, Utf8Validator, is_valid_utf8};

#[cfg(test)]
mod tests;
