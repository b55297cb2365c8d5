//! Lists of tokens in header values (RFC 9110 sections 5.6.1 and 5.6.2).

use http::{HeaderMap, header::AsHeaderName};

/// Whether a header lists `token` on any of its lines. The comparison ignores case.
pub(crate) fn has_token(headers: &HeaderMap, name: impl AsHeaderName, token: &str) -> bool {
    let is_token = |item: &str| item.trim_matches([' ', '\t']).eq_ignore_ascii_case(token);
    headers.get_all(name).iter().any(|value| {
        // Most values are the token alone.
        value.as_bytes().eq_ignore_ascii_case(token.as_bytes())
            || value.to_str().is_ok_and(|value| value.split(',').any(is_token))
    })
}

/// The most tokens in a list; no known peer offers as many subprotocols. Each takes memory of its own, and an HTTP
/// server may accept headers of several hundred kilobytes.
const MOST: usize = 64;

/// The tokens that a header lists on all of its lines, in order; `None` if an item is not a token, or if there are more
/// than 64. Empty items are skipped, as RFC 9110 section 5.6.1.2 requires of recipients.
pub fn token_list(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    for value in headers.get_all(name) {
        let items = value.to_str().ok()?.split(',').map(|item| item.trim_matches([' ', '\t']));
        for item in items.filter(|item| !item.is_empty()) {
            if tokens.len() == MOST || !is_token(item) {
                return None;
            }
            tokens.push(item.to_owned());
        }
    }
    Some(tokens)
}

/// Whether `text` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
