//! Version 2: binary.
//!
//! ```text
//!   signature (12) │ version, command (1) │ family, transport (1) │ length (2) │ addresses │ TLVs
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Client, HeaderError, Parsed, address, crc32c::Crc32c};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The part that each header has.
pub(super) const SHORTEST: usize = 16;
/// The longest header that is accepted. The addresses take at most 216 bytes of it.
const LONGEST: usize = 4096;
/// The type of the TLV with the header's checksum.
const CRC32C: u8 = 0x03;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Parses bytes that begin with the signature.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..SHORTEST) else {
        return Ok(Parsed::Incomplete { missing: SHORTEST - bytes.len() });
    };
    if command != LOCAL && command != PROXY {
        return Err(HeaderError::Command);
    }
    let len = SHORTEST + usize::from(u16::from_be_bytes([high, low]));
    if len > LONGEST {
        return Err(HeaderError::TooLong);
    }
    let Some(header) = bytes.get(..len) else {
        return Ok(Parsed::Incomplete { missing: len - bytes.len() });
    };
    // The addresses and TLVs of LOCAL have no meaning.
    let client = if command == LOCAL { Client::Unnamed } else { parse_client(header, family)? };
    Ok(Parsed::Header { len, client })
}

fn parse_client(header: &[u8], family: u8) -> Result<Client, HeaderError> {
    let mut rest = &header[SHORTEST..];
    let client = match family {
        // The meaning of the addresses and of the rest is unknown.
        0x00 => return Ok(Client::Unnamed),
        // The addresses of the client and of the proxy, then the ports.
        0x11 => {
            let ip = Ipv4Addr::from(take::<4>(&mut rest)?);
            let (_proxy, port) = (take::<4>(&mut rest)?, take::<2>(&mut rest)?);
            take::<2>(&mut rest)?;
            address(ip, u16::from_be_bytes(port))
        }
        0x21 => {
            let ip = Ipv6Addr::from(take::<16>(&mut rest)?);
            let (_proxy, port) = (take::<16>(&mut rest)?, take::<2>(&mut rest)?);
            take::<2>(&mut rest)?;
            address(ip, u16::from_be_bytes(port))
        }
        0x31 => {
            take::<216>(&mut rest)?;
            Client::WithoutAddress
        }
        _ => return Err(HeaderError::Family),
    };
    check_tlvs(header, header.len() - rest.len())?;
    Ok(client)
}

/// Checks that the TLVs from `at` on fill the header, and the checksum if one of them has it.
fn check_tlvs(header: &[u8], mut at: usize) -> Result<(), HeaderError> {
    while at < header.len() {
        let mut rest = &header[at..];
        let [kind, high, low] = take::<3>(&mut rest)?;
        let value = at + 3;
        at = value + usize::from(u16::from_be_bytes([high, low]));
        let value = header.get(value..at).ok_or(HeaderError::TooShort)?;
        if kind == CRC32C {
            check_crc(header, at, value)?;
        }
    }
    Ok(())
}

/// Checks the checksum of the header. It lies before `end`, and counts as zeros.
fn check_crc(header: &[u8], end: usize, value: &[u8]) -> Result<(), HeaderError> {
    let sum: [u8; 4] = value.try_into().map_err(|_| HeaderError::Checksum)?;
    let computed =
        Crc32c::default().update(&header[..end - sum.len()]).update(&[0; 4]).update(&header[end..]).finish();
    if computed == u32::from_be_bytes(sum) { Ok(()) } else { Err(HeaderError::Checksum) }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], HeaderError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(HeaderError::TooShort)?;
    *rest = after;
    Ok(*taken)
}
