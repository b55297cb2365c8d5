use http::{HeaderMap, Response, StatusCode, Version};

use crate::connection::Limits;

use super::{
    error::ResponseError,
    head::{HeadError, HeadScanner, header_map},
};

/// Reads a response's head that arrives in pieces.
#[derive(Debug, Clone)]
pub struct ResponseReader {
    scanner: HeadScanner,
}

impl ResponseReader {
    /// A reader with the limits on the head's bytes and lines.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self { scanner: HeadScanner::new(limits) }
    }

    /// Looks at all bytes received so far. `None`: more are needed. Else the response and the length of its head; what
    /// follows a 101 are the server's first frames, what follows anything else is a body.
    ///
    /// # Errors
    /// A [`ResponseError`].
    pub fn read(&mut self, received: &[u8]) -> Result<Option<(Response<()>, usize)>, ResponseError> {
        let Some(len) = self.scanner.scan(received)? else { return Ok(None) };
        let response = parse(&received[..len], self.scanner.header_lines())?;
        Ok(Some((response, len)))
    }
}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::BareLineFeed | HeadError::NotHttp => Self::Malformed,
            HeadError::TooLarge => Self::HeadTooLarge,
            HeadError::TooManyLines => Self::TooManyHeaders,
        }
    }
}

fn parse(head: &[u8], lines: usize) -> Result<Response<()>, ResponseError> {
    let mut slots = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Response::new(&mut slots);
    let Ok(httparse::Status::Complete(_)) = parsed.parse(head) else { return Err(ResponseError::Malformed) };
    let (Some(code), Some(version)) = (parsed.code, parsed.version) else {
        return Err(ResponseError::Malformed);
    };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| ResponseError::Malformed)?;
    *response.version_mut() = if version == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    *response.headers_mut() = header_map(parsed.headers)?;
    Ok(response)
}

/// Writes a complete HTTP/1.1 response: head and body. The caller sets the headers that frame the body.
#[must_use]
pub fn encode_response(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + body.len());
    encode_status(status, &mut out);
    encode_headers(headers, &mut out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

/// Writes the status line.
pub(super) fn encode_status(status: StatusCode, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes header lines. Names go out in the casing that everybody else uses: some peers compare them literally.
pub(super) fn encode_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        let (prefix, rest) = match name.as_str().strip_prefix("sec-websocket") {
            Some(rest) => ("Sec-WebSocket", rest),
            None => ("", name.as_str()),
        };
        out.extend_from_slice(prefix.as_bytes());
        let mut upper = prefix.is_empty();
        out.extend(rest.bytes().map(|byte| {
            let cased = if upper { byte.to_ascii_uppercase() } else { byte };
            upper = byte == b'-';
            cased
        }));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}
