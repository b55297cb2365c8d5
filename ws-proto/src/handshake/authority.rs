use core::net::Ipv6Addr;

/// Splits `host[:port]`, the form of `Host` and of a URI's authority (RFC 9110 section 7.2, RFC 3986 section 3.2),
/// into the host and the port. An empty port is no port.
///
/// `None` for anything else: no host, user information, a list, a port that is not a `u16`, brackets around anything
/// but an IPv6 address, percent-encoding. So every reader interprets the result in the same way.
#[must_use]
pub fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let host_len = match text.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_len);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => is_address(address),
        None => !host.is_empty() && host.bytes().all(is_name_byte),
    };
    let port = match rest.strip_prefix(':') {
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    is_host.then_some((host, port))
}

/// An IPv6 address, with or without a zone (RFC 6874).
fn is_address(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    address.parse::<Ipv6Addr>().is_ok()
        && zone.is_none_or(|zone| {
            !zone.is_empty() && zone.bytes().all(|byte| byte == b'%' || is_unreserved(byte))
        })
}

/// A byte of a `reg-name` (RFC 3986 section 3.2.2), except the percent sign, and the comma, which would make a list.
const fn is_name_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
