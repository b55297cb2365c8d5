use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::connection::Limits;

use super::{
    error::RequestError,
    head::{HeadError, HeadScanner},
};

/// A request's head: method, target, version, every header line.
pub type Request = http::Request<()>;

/// Reads a request's head that arrives in pieces.
#[derive(Debug, Clone)]
pub struct RequestReader {
    scanner: HeadScanner,
}

impl RequestReader {
    /// A reader with the limits on the head's bytes and lines.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        Self { scanner: HeadScanner::new(limits) }
    }

    /// Looks at all bytes received so far. `None`: more are needed. Else the request and the length of its head; what
    /// follows are the peer's first frames.
    ///
    /// # Errors
    /// A [`RequestError`]; answer it with [`Rejection::from`](super::Rejection) and close.
    pub fn read(&mut self, received: &[u8]) -> Result<Option<(Request, usize)>, RequestError> {
        let Some(len) = self.scanner.scan(received)? else { return Ok(None) };
        let request = parse(&received[..len], self.scanner.header_lines())?;
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
    let mut slots = vec![httparse::EMPTY_HEADER; lines];
    let mut parsed = httparse::Request::new(&mut slots);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::Version) => return Err(RequestError::Version),
        Ok(httparse::Status::Partial) | Err(_) => return Err(RequestError::Malformed),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(RequestError::Malformed);
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| RequestError::Malformed)?;
    // `Uri` lets other characters pass.
    let target = target.is_ascii().then_some(target).ok_or(RequestError::Target)?;
    *request.uri_mut() = target.parse::<Uri>().map_err(|_| RequestError::Target)?;
    *request.version_mut() = if version == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.headers_mut() = header_map(parsed.headers).ok_or(RequestError::Malformed)?;
    Ok(request)
}

/// All header lines, repeated ones included.
fn header_map(lines: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(headers)
}
