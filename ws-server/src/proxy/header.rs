//! The header of the PROXY protocol, versions 1 and 2.
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::{IpAddr, SocketAddr};

mod crc32c;
mod v1;
mod v2;

/// What a header says about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// The proxy speaks for itself, or does not know the client.
    Unnamed,
    /// The client has connected to the proxy by a Unix socket.
    WithoutAddress,
    Address(SocketAddr),
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A header of this length.
    Header { len: usize, client: Client },
    /// The beginning of a header, and the least number of bytes that are missing.
    Incomplete { missing: usize },
    /// Something else.
    Absent,
}

/// A header that breaks the rules of the protocol, or is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("the line is not a valid header of version 1")]
    Line,
    #[error("the version or the command is not known")]
    Command,
    #[error("the family of the addresses, or the transport, is not known or is not a stream")]
    Family,
    #[error("the header is longer than 4096 bytes")]
    TooLong,
    #[error("the header is shorter than its addresses or its TLVs")]
    TooShort,
    #[error("the checksum is wrong")]
    Checksum,
    #[error("the connection does not begin with a header")]
    Absent,
}

/// Parses the first bytes of a connection.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    match (matches(bytes, v1::SIGNATURE), matches(bytes, v2::SIGNATURE)) {
        (Match::Whole, _) => v1::parse(bytes),
        (_, Match::Whole) => v2::parse(bytes),
        (Match::Beginning, _) => Ok(Parsed::Incomplete { missing: v1::SHORTEST - bytes.len() }),
        (_, Match::Beginning) => Ok(Parsed::Incomplete { missing: v2::SHORTEST - bytes.len() }),
        (Match::No, Match::No) => Ok(Parsed::Absent),
    }
}

/// Whether a connection that begins with this byte may begin with a header. TLS never begins with such a byte.
#[cfg(feature = "tls-core")]
pub(crate) const fn may_begin_with(byte: u8) -> bool {
    byte == v1::SIGNATURE[0] || byte == v2::SIGNATURE[0]
}

enum Match {
    Whole,
    /// All bytes that are there match.
    Beginning,
    No,
}

fn matches(bytes: &[u8], signature: &[u8]) -> Match {
    if bytes.starts_with(signature) {
        Match::Whole
    } else if signature.starts_with(bytes) {
        Match::Beginning
    } else {
        Match::No
    }
}

fn address(ip: impl Into<IpAddr>, port: u16) -> Client {
    Client::Address(SocketAddr::new(ip.into(), port))
}

#[cfg(test)]
mod tests;
