//! The grammar of `Forwarded` (RFC 7239 section 4).

use std::net::SocketAddr;

use super::address;

/// The elements of a list, beginning with the last one. Empty elements are left out.
///
/// Quotation marks are paired from the right. So what a client has sent, such as a quotation mark without its pair,
/// cannot hide an element that a proxy has appended.
pub(super) fn elements_from_the_right(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let next = move || {
        if list.is_empty() {
            return None;
        }
        let comma = last_comma(list);
        let element = &list[comma.map_or(0, |comma| comma + 1)..];
        list = &list[..comma.unwrap_or(0)];
        Some(element.trim_ascii())
    };
    std::iter::from_fn(next).filter(|element| !element.is_empty())
}

/// The last comma that is not quoted.
fn last_comma(list: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    for (at, byte) in list.iter().enumerate().rev() {
        match byte {
            b'"' if !is_escaped(&list[..at]) => is_quoted = !is_quoted,
            b',' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether a byte behind `before` is escaped: an odd number of backslashes precedes it.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address of the parameter `for`, if the element is valid and names an address.
pub(super) fn address_of(element: &[u8]) -> Option<SocketAddr> {
    let mut rest = std::str::from_utf8(element).ok()?;
    let mut node = None;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
        let (value, after) = take_value(after)?;
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
        rest = if after.is_empty() { after } else { after.strip_prefix(';')?.trim_start_matches(' ') };
    }
    let node = node?;
    // An IPv6 address is always in brackets.
    address(&node).filter(|address| address.is_ipv4() || node.starts_with('['))
}

/// A token or a quoted string, and what is behind it.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, behind) = text.split_at(text.find(';').unwrap_or(text.len()));
        let token = token.trim_end_matches(' ');
        return is_token(token).then(|| (token.to_owned(), behind));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted[at + 1..].trim_start_matches(' '))),
            '\\' => value.push(characters.next()?.1),
            character => value.push(character),
        }
    }
    None
}

/// Whether the text is a token (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
