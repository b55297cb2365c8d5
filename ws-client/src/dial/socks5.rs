//! A tunnel through a SOCKS5 proxy (RFC 1928, RFC 1929).

use std::net::{IpAddr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{credentials::Credentials, error::ProxyError, proxy::ProxyUrl};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The server that a SOCKS proxy connects to.
#[derive(Clone, Copy)]
pub(super) enum Destination<'a> {
    Addr(SocketAddr),
    /// A name that the proxy resolves, and the port.
    Name(&'a str, u16),
}

impl<'a> Destination<'a> {
    /// An address if `host` is one, otherwise a name.
    pub(super) fn new(host: &'a str, port: u16) -> Self {
        host.parse().map_or(Self::Name(host, port), |ip: IpAddr| Self::Addr((ip, port).into()))
    }

    /// Encodes the destination (RFC 1928 section 5). `None` if the name is longer than 255 bytes.
    fn encode(&self) -> Option<Vec<u8>> {
        let (mut bytes, port) = match self {
            Self::Addr(SocketAddr::V4(addr)) => ([&[IPV4][..], &addr.ip().octets()].concat(), addr.port()),
            Self::Addr(SocketAddr::V6(addr)) => ([&[IPV6][..], &addr.ip().octets()].concat(), addr.port()),
            Self::Name(name, port) => {
                let len = u8::try_from(name.len()).ok()?;
                ([&[NAME, len][..], name.as_bytes()].concat(), *port)
            }
        };
        bytes.extend(port.to_be_bytes());
        Some(bytes)
    }
}

/// Opens a tunnel. Afterwards the stream carries the server's bytes.
pub(super) async fn open(
    stream: &mut TcpStream,
    proxy: &ProxyUrl,
    destination: Destination<'_>,
) -> Result<(), ProxyError> {
    let destination = destination.encode().ok_or(ProxyError::NameTooLong)?;
    let credentials = proxy.credentials.as_ref();
    let methods = [NO_AUTHENTICATION, USER_AND_PASSWORD];
    let methods = &methods[..1 + usize::from(credentials.is_some())];
    stream.write_all(&[&[VERSION, methods.len() as u8], methods].concat()).await?;
    let [version, method] = read(stream).await?;
    match (version, method, credentials) {
        (VERSION, NO_AUTHENTICATION, _) => {}
        (VERSION, USER_AND_PASSWORD, Some(credentials)) => authenticate(stream, credentials).await?,
        (VERSION, _, _) => return Err(ProxyError::Authentication),
        _ => return Err(ProxyError::NotSocks5),
    }
    stream.write_all(&[&[VERSION, CONNECT, 0], &destination[..]].concat()).await?;
    let [version, reply, _, kind] = read(stream).await?;
    if version != VERSION {
        return Err(ProxyError::NotSocks5);
    }
    if reply != 0 {
        return Err(ProxyError::Socks5Refused(reply));
    }
    // Skip the address and the port that the proxy uses for the connection.
    let len = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(stream.read_u8().await?),
        _ => return Err(ProxyError::NotSocks5),
    };
    stream.read_exact(&mut [0; 257][..len + 2]).await?;
    Ok(())
}

/// Authenticates by user name and password (RFC 1929).
async fn authenticate(stream: &mut TcpStream, credentials: &Credentials) -> Result<(), ProxyError> {
    let mut request = vec![1];
    for part in [&credentials.user, &credentials.password] {
        request.push(u8::try_from(part.len()).map_err(|_| ProxyError::Authentication)?);
        request.extend(part);
    }
    stream.write_all(&request).await?;
    let [_, status] = read(stream).await?;
    if status == 0 { Ok(()) } else { Err(ProxyError::Authentication) }
}

async fn read<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_encoded_as_in_rfc_1928() {
        let encoded = |host| Destination::new(host, 0x1234).encode();
        assert_eq!(encoded("1.2.3.4"), Some(vec![1, 1, 2, 3, 4, 0x12, 0x34]));
        assert_eq!(encoded("ab"), Some(vec![3, 2, b'a', b'b', 0x12, 0x34]));
        let v6 = encoded("::1").unwrap();
        assert_eq!((v6.len(), v6[0], v6[16]), (19, 4, 1));
        assert_eq!(encoded(&"a".repeat(256)), None);
    }
}
