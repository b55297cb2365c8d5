//! User name and password of a URL.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;

use crate::error::UrlError;

/// Logs and errors must not contain these values.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Credentials {
    /// Parses `user:password`, percent-encoded (RFC 3986 section 3.2.1).
    pub(crate) fn parse(user_info: &str) -> Result<Self, UrlError> {
        // Other parsers, such as those of browsers, would take the user name for the host.
        if user_info.contains(|at: char| at == '\\' || at.is_whitespace() || at.is_control()) {
            return Err(UrlError::Credentials);
        }
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let decode = |text: &str| percent_decode(text).ok_or(UrlError::Credentials);
        let (user, password) = (decode(user)?, decode(password)?);
        if user.contains(&b':') {
            // In Basic authentication the first colon ends the user name (RFC 7617 section 2).
            return Err(UrlError::Credentials);
        }
        Ok(Self { user, password })
    }

    /// Whether both the user name and the password are empty.
    pub(crate) const fn is_empty(&self) -> bool {
        self.user.is_empty() && self.password.is_empty()
    }

    /// The value for `Authorization` or `Proxy-Authorization` (RFC 7617).
    pub(crate) fn basic(&self) -> HeaderValue {
        let plain = [&self.user[..], b":", &self.password].concat();
        let value = format!("Basic {}", BASE64_STANDARD.encode(plain));
        // Base64 is always a valid header value, so the fallback is never used.
        let mut value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (digit(bytes.next())? * 16 + digit(bytes.next())?) as u8,
            plain => plain,
        });
    }
    Some(decoded)
}
