//! A tunnel through an HTTP proxy (RFC 9110 section 9.3.6).

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use ws_proto::{Limits, handshake::ResponseReader};

use crate::{error::ProxyError, proxy::ProxyUrl};

/// Asks the proxy for a tunnel to the server; behind this the stream is the server's.
pub(super) async fn open(
    stream: &mut TcpStream,
    proxy: &ProxyUrl,
    host: &str,
    port: u16,
) -> Result<(), ProxyError> {
    stream.write_all(&request(proxy, host, port)).await?;
    let mut reader = ResponseReader::new(&Limits::default());
    let mut head = Vec::with_capacity(256);
    let status = loop {
        let Some((response, len)) = reader.read(&head).map_err(ProxyError::Response)? else {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            continue;
        };
        let status = response.status();
        let rest = head.split_off(len);
        if status.is_informational() {
            (head, reader) = (rest, ResponseReader::new(&Limits::default()));
        } else if status.is_success() && !rest.is_empty() {
            // The server cannot have said anything yet: somebody in between has.
            return Err(ProxyError::UnexpectedData);
        } else {
            break status;
        }
    };
    if status.is_success() { Ok(()) } else { Err(ProxyError::Refused(status)) }
}

fn request(proxy: &ProxyUrl, host: &str, port: u16) -> Vec<u8> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(credentials) = &proxy.credentials {
        request.extend(b"Proxy-Authorization: ");
        request.extend(credentials.basic().as_bytes());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request
}
