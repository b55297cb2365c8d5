//! Hosts and ports of URLs, parsed as in the URL standard (<https://url.spec.whatwg.org/#host-parsing>), and
//! zones of IPv6 addresses (RFC 6874), which the standard does not support.

use std::{
    borrow::Cow,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::credentials::percent_decode;

/// Why an authority is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthorityError {
    /// There is no host.
    NoHost,
    /// The host is invalid. The text is the reason.
    Host(&'static str),
    /// The port is not a number up to 65535.
    Port,
}

/// Parses the host and the port of a URL. `authority` must not have user information.
pub(crate) fn host_and_port(authority: &str, default_port: u16) -> Result<(Host, u16), AuthorityError> {
    let host_end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']').map_or(authority.len(), |end| end + 1),
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    if host.is_empty() {
        return Err(AuthorityError::NoHost);
    }
    let host = Host::parse(host).map_err(AuthorityError::Host)?;
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => default_port,
        None => return Err(AuthorityError::Host("only a port may follow `]`")),
        Some("") => default_port,
        // `parse` would also accept a sign.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().map_err(|_| AuthorityError::Port)?
        }
        Some(_) => return Err(AuthorityError::Port),
    };
    Ok((host, port))
}

/// A host in its canonical form: a name in lower-case ASCII, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// The name or the address, without brackets and zone.
    name: String,
    /// The name or the index of the interface that reaches a link-local address.
    zone: Option<String>,
}

impl Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(rest) = text.strip_prefix('[') {
            return Self::parse_ipv6(rest.strip_suffix(']').ok_or("`]` is missing")?);
        }
        let decoded = percent_decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
        let name = to_ascii(&decoded.ok_or("its percent-encoding is invalid")?)?;
        let name = if ends_in_a_number(&name) {
            ipv4(&name).ok_or("it ends in a number but is not an IPv4 address")?
        } else {
            name
        };
        Ok(Self { name, zone: None })
    }

    fn parse_ipv6(text: &str) -> Result<Self, &'static str> {
        let (addr, zone) = text.split_once("%25").map_or((text, None), |(addr, zone)| (addr, Some(zone)));
        let addr: Ipv6Addr = addr.parse().map_err(|_| "only an IPv6 address may be in brackets")?;
        let zone = zone.map(parse_zone).transpose()?;
        // The standard serialises IPv4-mapped addresses in hexadecimal; `Ipv6Addr` would use dotted decimal.
        let name = match addr.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => format!("::ffff:{high:x}:{low:x}"),
            _ => addr.to_string(),
        };
        Ok(Self { name, zone })
    }

    /// The name or the address, without brackets and zone.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The form that resolvers accept. An IPv6 address is followed by `%` and its zone (RFC 4007 section 11).
    pub(crate) fn for_lookup(&self) -> Cow<'_, str> {
        match &self.zone {
            Some(zone) => Cow::Owned(format!("{}%{zone}", self.name)),
            None => Cow::Borrowed(&self.name),
        }
    }
}

/// The form for a `Host` header: an IPv6 address is in brackets and has no zone, because a zone has a meaning
/// only on this machine (RFC 6874 section 4).
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') { write!(f, "[{}]", self.name) } else { f.write_str(&self.name) }
    }
}

fn parse_zone(text: &str) -> Result<String, &'static str> {
    let zone = percent_decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let is_valid = |zone: &String| {
        !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic() && !b"%/[]".contains(&byte))
    };
    zone.filter(is_valid).ok_or("its zone is not valid")
}

/// The standard's "domain to ASCII" operation.
fn to_ascii(name: &str) -> Result<String, &'static str> {
    if !name.is_ascii() {
        return international_to_ascii(name);
    }
    let is_forbidden = |byte: u8| byte <= b' ' || byte == 0x7f || b"#/:<>?@[\\]^|%".contains(&byte);
    if name.is_empty() || name.bytes().any(is_forbidden) {
        return Err("it has a forbidden character");
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(feature = "idna")]
fn international_to_ascii(name: &str) -> Result<String, &'static str> {
    match idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::URL) {
        Ok(name) if !name.is_empty() => Ok(name.into_owned()),
        _ => Err("it is not a valid international name (UTS 46)"),
    }
}

#[cfg(not(feature = "idna"))]
const fn international_to_ascii(_name: &str) -> Result<String, &'static str> {
    Err("international names need IDNA, which is not compiled in (feature `idna`)")
}

/// Whether the last label is a number. Such a host must be an IPv4 address.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal || ipv4_number(last).is_some()
}

/// Parses an IPv4 address of one to four numbers. The last number fills all remaining bytes.
fn ipv4(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let numbers: Vec<u64> = name.split('.').map(ipv4_number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    let bits_of_last = 32_u32.checked_sub(8 * u32::try_from(first.len()).ok()?).filter(|bits| *bits > 0)?;
    if first.iter().any(|number| *number > 255) || *last >> bits_of_last != 0 {
        return None;
    }
    let bits = first.iter().zip([24, 16, 8]).fold(*last, |bits, (number, shift)| bits | number << shift);
    u32::try_from(bits).ok().map(|bits| Ipv4Addr::from_bits(bits).to_string())
}

/// Parses a number in decimal, in hexadecimal with the prefix `0x`, or in octal with the prefix `0`.
/// Saturates at the largest `u64`.
fn ipv4_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    is_number.then(|| u64::from_str_radix(digits, radix).unwrap_or(u64::MAX))
}
