//! Version 1: a line of text, such as `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::{Client, HeaderError, Parsed, address};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// `PROXY UNKNOWN` and the end of the line.
pub(super) const SHORTEST: usize = 15;
/// The longest line, with its end.
const LONGEST: usize = 107;

/// Parses bytes that begin with the signature.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let line = &bytes[..bytes.len().min(LONGEST)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        if line.len() == LONGEST {
            return Err(HeaderError::Line);
        }
        let end_is_near = line.len() + 1 == LONGEST || line.ends_with(b"\r");
        let missing = SHORTEST.saturating_sub(line.len()).max(if end_is_near { 1 } else { 2 });
        return Ok(Parsed::Incomplete { missing });
    };
    let text = line[SIGNATURE.len()..end].strip_suffix(b"\r").ok_or(HeaderError::Line)?;
    let client = parse_client(text).ok_or(HeaderError::Line)?;
    Ok(Parsed::Header { len: end + 1, client })
}

fn parse_client(text: &[u8]) -> Option<Client> {
    if text == b"UNKNOWN" || text.starts_with(b"UNKNOWN ") {
        return Some(Client::Unnamed);
    }
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let client = match words.next()? {
        "TCP4" => addresses::<Ipv4Addr>(&mut words)?,
        "TCP6" => addresses::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    words.next().is_none().then_some(client)
}

/// The addresses and ports of the client and of the proxy. Both are checked.
fn addresses<'a, T>(words: &mut impl Iterator<Item = &'a str>) -> Option<Client>
where
    T: FromStr + Into<IpAddr>,
{
    let mut ip = || words.next()?.parse::<T>().ok();
    let (client, _proxy) = (ip()?, ip()?);
    let (client_port, _proxy_port) = (port(words.next()?)?, port(words.next()?)?);
    Some(address(client, client_port))
}

/// A decimal number without leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_decimal =
        word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_decimal { word.parse().ok() } else { None }
}
