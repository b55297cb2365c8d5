use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};

use crate::config::Limits;

use super::{
    error::ResponseError,
    head::{HeadError, HeadScanner},
};

/// Reads the head of a response that arrives in pieces.
///
/// A header value that is folded over several lines is joined with spaces (RFC 9112 section 5.2). Otherwise a 101
/// must follow the grammar of HTTP. A refusal is read as browsers do, so that its status can be reported: lines may
/// end in a bare LF, and invalid header lines are skipped. Nothing is sent after it on its connection, so an error
/// about its length does no harm.
#[derive(Debug, Clone)]
pub struct ResponseReader {
    scanner: HeadScanner,
}

impl ResponseReader {
    /// Creates a reader with the limits on the head's bytes and lines.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self { scanner: HeadScanner::new(limits).with_bare_line_feeds() }
    }

    /// Reads all bytes received so far. Returns `None` if more are needed, or the response and the length of its
    /// head. The bytes after a 101 are the server's first frames; the bytes after any other response are a body.
    ///
    /// # Errors
    /// A [`ResponseError`].
    pub fn read(&mut self, received: &[u8]) -> Result<Option<(Response<()>, usize)>, ResponseError> {
        if !received.iter().zip(b"HTTP/").all(|(byte, expected)| byte == expected) {
            return Err(ResponseError::Malformed);
        }
        let Some(len) = self.scanner.scan(received)? else { return Ok(None) };
        let (head, lines) = (&received[..len], self.scanner.header_lines());
        if lines > Limits::MAX_HEADER_LINES {
            return Err(ResponseError::TooManyHeaders);
        }
        let response = match parse(head, lines, Rigour::Strict) {
            Some(response) => response,
            None => parse(head, lines, Rigour::Lenient)
                .filter(|response| response.status() != StatusCode::SWITCHING_PROTOCOLS)
                .ok_or(ResponseError::Malformed)?,
        };
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

/// How a head is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rigour {
    /// As RFC 9112 specifies.
    Strict,
    /// As browsers do.
    Lenient,
}

fn parse(head: &[u8], lines: usize, rigour: Rigour) -> Option<Response<()>> {
    let is_lenient = rigour == Rigour::Lenient;
    if !is_lenient && has_bare_line_feed(head) {
        return None;
    }
    let mut slots = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Response::new(&mut slots);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(is_lenient)
        .allow_multiple_spaces_in_response_status_delimiters(is_lenient)
        .allow_space_before_first_header_name(is_lenient)
        .ignore_invalid_headers_in_responses(is_lenient);
    let Ok(httparse::Status::Complete(_)) = config.parse_response(&mut parsed, head) else { return None };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(parsed.code?).ok()?;
    *response.version_mut() = if parsed.version? == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    *response.headers_mut() = header_map(parsed.headers, rigour)?;
    Some(response)
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|byte| std::mem::replace(&mut before, *byte) != b'\r' && *byte == b'\n')
}

/// All header lines, including repeated ones. Lenient reading skips lines that are not valid headers.
fn header_map(lines: &[httparse::Header<'_>], rigour: Rigour) -> Option<HeaderMap> {
    let mut headers = HeaderMap::try_with_capacity(lines.len()).ok()?;
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_bytes(&unfolded(line.value));
        match (name, value) {
            (Ok(name), Ok(value)) => drop(headers.try_append(name, value).ok()?),
            _ if rigour == Rigour::Strict => return None,
            _ => {}
        }
    }
    Some(headers)
}

/// The value with each line end, and the white space around it, replaced by a space (RFC 9112 section 5.2).
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\n') {
        return Cow::Borrowed(value);
    }
    let lines: Vec<&[u8]> =
        value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect();
    Cow::Owned(lines.join(&b' '))
}

/// Writes the status line.
pub(super) fn encode_status(status: StatusCode, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes header lines. Names are written in the usual casing, because some peers compare them literally.
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
