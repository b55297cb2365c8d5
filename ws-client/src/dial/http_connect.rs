//! A tunnel through an HTTP proxy (RFC 9110 section 9.3.6).

use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use ws_proto::Limits;

use crate::{error::ProxyError, proxy::ProxyUrl, response::read_final_response};

/// Asks the proxy for a tunnel to the server; behind this the stream is the server's.
pub(super) async fn open(
    stream: &mut TcpStream,
    proxy: &ProxyUrl,
    host: &str,
    port: u16,
) -> Result<(), ProxyError> {
    stream.write_all(&request(proxy, host, port)).await?;
    let (response, rest) = read_final_response::<_, ProxyError>(stream, &Limits::default()).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(ProxyError::Refused(status));
    }
    // The server cannot have said anything yet: somebody in between has.
    if rest.is_empty() { Ok(()) } else { Err(ProxyError::UnexpectedData) }
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
