use bytes::Bytes;
use http::{Method, Uri, Version};

use crate::config::Limits;

use super::{
    error::RequestError,
    head::{HeadError, HeadScanner, header_map},
};

/// The head of a request: method, target, version, every header line.
///
/// The target is that of the request line: a path, or a URL in absolute form, with scheme and authority (RFC 9112
/// section 3.2). Only a quotation mark in a query is changed, to `%22`. A minor version above 1.1 is read as
/// HTTP/1.1.
pub type Request = http::Request<()>;

/// Reads the head of a request that arrives in pieces.
#[derive(Debug, Clone)]
pub struct RequestReader {
    scanner: HeadScanner,
}

impl RequestReader {
    /// Creates a reader with the limits on the head's bytes and lines.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self { scanner: HeadScanner::new(limits).skipping_empty_line() }
    }

    /// Reads all bytes received so far. Returns `None` if more are needed, or the request and the length of its head,
    /// including an ignored empty line before it. The bytes after the head are the peer's first frames.
    ///
    /// # Errors
    /// A [`RequestError`]. Answer it with [`Rejection::from`](super::Rejection) and close the connection.
    pub fn read(&mut self, received: &[u8]) -> Result<Option<(Request, usize)>, RequestError> {
        let Some(len) = self.scanner.scan(received)? else { return Ok(None) };
        let request = parse(&received[self.scanner.start()..len], self.scanner.header_lines())?;
        Ok(Some((request, len)))
    }
}

impl From<HeadError> for RequestError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::BareLineFeed | HeadError::NotHttp => Self::Malformed,
            HeadError::TooLarge => Self::HeadTooLarge,
            HeadError::TooManyLines => Self::TooManyHeaders,
        }
    }
}

fn parse(head: &[u8], lines: usize) -> Result<Request, RequestError> {
    let (version, head) = version(head)?;
    let mut slots = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Request::new(&mut slots);
    let Ok(httparse::Status::Complete(_)) = parsed.parse(&head) else { return Err(RequestError::Malformed) };
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Err(RequestError::Malformed);
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| RequestError::Malformed)?;
    *request.uri_mut() = uri(&head, target)?;
    *request.version_mut() = version;
    *request.headers_mut() = header_map(&head, parsed.headers)?;
    Ok(request)
}

/// The version at the end of the request line (RFC 9112 section 2.3), and a copy of the head for the request's target
/// and header values, in a form that `httparse` accepts, which supports no version above 1.1. A recipient treats a
/// higher minor version as the highest that it supports (RFC 9110 section 6.2).
fn version(head: &[u8]) -> Result<(Version, Bytes), RequestError> {
    let end = head.windows(2).position(|end| end == b"\r\n").ok_or(RequestError::Malformed)?;
    let version = head[..end].rsplit(|byte| *byte == b' ').next();
    match version {
        Some(b"HTTP/1.0") => Ok((Version::HTTP_10, Bytes::copy_from_slice(head))),
        Some(b"HTTP/1.1") => Ok((Version::HTTP_11, Bytes::copy_from_slice(head))),
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']) => {
            let mut head = head.to_vec();
            head[end - 1] = b'1';
            Ok((Version::HTTP_11, Bytes::from(head)))
        }
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) => Err(RequestError::Version),
        _ => Err(RequestError::Malformed),
    }
}

/// Parses the target, a slice of `head`. It must not have a fragment, nor a backslash, which some readers take for a
/// slash.
fn uri(head: &Bytes, target: &str) -> Result<Uri, RequestError> {
    // `Uri` accepts these, or truncates the target there.
    if !target.is_ascii() || target.contains(['#', '\\']) {
        return Err(RequestError::Target);
    }
    // `Uri` accepts a quotation mark in a path but not in a query, where some clients send one.
    let encoded = target.split_once('?').filter(|(_, query)| query.contains('"'));
    let encoded = encoded.map(|(path, query)| format!("{path}?{}", query.replace('"', "%22")));
    let target = encoded.map_or_else(|| head.slice_ref(target.as_bytes()), Bytes::from);
    Uri::from_maybe_shared(target).map_err(|_| RequestError::Target)
}
