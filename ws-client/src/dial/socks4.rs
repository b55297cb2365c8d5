//! A tunnel through a SOCKS4 or SOCKS4a proxy (<https://www.openssh.com/txt/socks4.protocol>,
//! <https://www.openssh.com/txt/socks4a.protocol>).

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::socks5::Destination;
use crate::{error::ProxyError, proxy::ProxyUrl};

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
const GRANTED: u8 = 90;
/// The invalid address by which SOCKS4a announces a name.
const NAME_FOLLOWS: [u8; 4] = [0, 0, 0, 1];

/// Opens a tunnel. Afterwards the stream carries the server's bytes.
pub(super) async fn open(
    stream: &mut TcpStream,
    proxy: &ProxyUrl,
    destination: Destination<'_>,
) -> Result<(), ProxyError> {
    stream.write_all(&request(proxy, destination)?).await?;
    let mut reply = [0; 8];
    stream.read_exact(&mut reply).await?;
    match reply {
        [0, GRANTED, ..] => Ok(()),
        [0, code, ..] => Err(ProxyError::Socks4Refused(code)),
        _ => Err(ProxyError::NotSocks4),
    }
}

fn request(proxy: &ProxyUrl, destination: Destination<'_>) -> Result<Vec<u8>, ProxyError> {
    let (port, ip, name) = match destination {
        Destination::Addr(SocketAddr::V4(addr)) => (addr.port(), addr.ip().octets(), None),
        Destination::Addr(SocketAddr::V6(_)) => return Err(ProxyError::Ipv4Only),
        Destination::Name(name, port) => (port, NAME_FOLLOWS, Some(name)),
    };
    let user = proxy.credentials.as_ref().map_or(&[][..], |credentials| &credentials.user);
    let mut request = [&[VERSION, CONNECT], &port.to_be_bytes()[..], &ip, user, &[0]].concat();
    if let Some(name) = name {
        request.extend(name.as_bytes());
        request.push(0);
    }
    Ok(request)
}
