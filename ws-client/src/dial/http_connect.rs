//! A tunnel through an HTTP proxy, opened by `CONNECT` (RFC 9110 section 9.3.6).

use http::{HeaderMap, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::{
    error::ProxyError,
    proxy::ProxyUrl,
    response::{client_limits, read_final_response},
    url::Host,
};

/// Opens a tunnel. Afterwards the stream carries the server's bytes.
pub(super) async fn open<S>(
    stream: &mut S,
    proxy: &ProxyUrl,
    host: &Host,
    port: u16,
) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&request(proxy, host, port)).await?;
    stream.flush().await?;
    let (response, rest) = read_final_response::<_, ProxyError>(stream, &client_limits()).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(match unsupported_schemes(response.headers()) {
            Some(schemes) if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                ProxyError::UnsupportedAuthentication(schemes)
            }
            _ => ProxyError::Refused(status),
        });
    }
    // The server sends nothing before the client's request or TLS handshake, so these bytes are not the
    // server's.
    if rest.is_empty() { Ok(()) } else { Err(ProxyError::UnexpectedData) }
}

/// The authentication schemes that a proxy offers, if Basic is not among them (RFC 9110 section 11.7.1).
fn unsupported_schemes(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::PROXY_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let schemes: Vec<&str> = values.flat_map(challenges).collect();
    let is_basic = |scheme: &&str| scheme.eq_ignore_ascii_case("Basic");
    (!schemes.is_empty() && !schemes.iter().any(is_basic)).then(|| schemes.join(", "))
}

/// The schemes of a list of challenges: the first word of each item that is not a parameter. Commas in quoted
/// strings do not separate items.
fn challenges(value: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let items = value.split(move |at: char| {
        match at {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' => return !is_quoted,
            _ => {}
        }
        false
    });
    let first_words = items.filter_map(|item| item.split_whitespace().next());
    first_words.filter(|word| !word.contains('='))
}

fn request(proxy: &ProxyUrl, host: &Host, port: u16) -> Vec<u8> {
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
    if let Some(credentials) = &proxy.credentials {
        request.extend(b"Proxy-Authorization: ");
        request.extend(credentials.basic().as_bytes());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request
}
