//! The body of a response that is no upgrade (RFC 9112 sections 6 and 7).

use bytes::Bytes;
use http::{Response, StatusCode, header};

/// The most that is read of a body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// A body as far as it has come.
pub(crate) struct Body {
    wire: Vec<u8>,
    framing: Framing,
}

/// How the end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    ToTheEnd,
}

impl Framing {
    fn of(head: &Response<()>) -> Self {
        let value = |name| head.headers().get(name).and_then(|value| value.to_str().ok());
        if matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Self::Length(0);
        }
        match (value(header::TRANSFER_ENCODING), value(header::CONTENT_LENGTH).map(str::parse)) {
            (Some(coding), _) if coding.trim().eq_ignore_ascii_case("chunked") => Self::Chunked,
            (None, Some(Ok(length))) => Self::Length(length),
            _ => Self::ToTheEnd,
        }
    }
}

impl Body {
    /// With what came with the head.
    pub(crate) fn new(head: &Response<()>, received: Vec<u8>) -> Self {
        Self { wire: received, framing: Framing::of(head) }
    }

    /// How many more bytes are wanted at most; `None` if none are.
    pub(crate) fn room(&self) -> Option<u64> {
        let end = match self.framing {
            Framing::Length(length) => length.min(MAX_BODY),
            Framing::Chunked if dechunk(&self.wire).1 => return None,
            _ => MAX_BODY,
        };
        let room = end.saturating_sub(self.wire.len());
        (room > 0).then_some(room as u64)
    }

    pub(crate) const fn wire_mut(&mut self) -> &mut Vec<u8> {
        &mut self.wire
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        let mut bytes = match self.framing {
            Framing::Chunked => dechunk(&self.wire).0,
            _ => self.wire,
        };
        if let Framing::Length(length) = self.framing {
            bytes.truncate(length);
        }
        bytes.truncate(MAX_BODY);
        bytes.into()
    }
}

/// The payload of the chunks, as far as they are there, and whether the last one is. What cannot be read ends it.
fn dechunk(mut wire: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line_len) = wire.windows(2).position(|pair| pair == b"\r\n") else { return (body, false) };
        let line = String::from_utf8_lossy(&wire[..line_len]);
        // Extensions of chunks mean nothing to us.
        let size = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else { return (body, true) };
        wire = &wire[line_len + 2..];
        if size == 0 {
            return (body, true);
        }
        let chunk = &wire[..size.min(wire.len())];
        body.extend_from_slice(chunk);
        let Some(rest) = wire[chunk.len()..].strip_prefix(b"\r\n") else { return (body, false) };
        wire = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn body(headers: Headers<'_>, received: &str) -> Body {
        let head = headers
            .iter()
            .fold(Response::builder().status(403), |head, (name, value)| head.header(*name, *value));
        Body::new(&head.body(()).unwrap(), received.as_bytes().to_vec())
    }

    #[test]
    fn the_end_is_known_as_the_head_says() {
        const CHUNKED: (&str, &str) = ("transfer-encoding", "Chunked");
        let cases: [(Headers<'_>, &str, Option<u64>, &str); 9] = [
            (&[], "abc", Some(64 * 1024 - 3), "abc"),
            (&[("content-length", "5")], "abc", Some(2), "abc"),
            (&[("content-length", "2")], "abc", None, "ab"),
            (&[("content-length", "x")], "abc", Some(64 * 1024 - 3), "abc"),
            (&[("content-length", "99999999999")], "abc", Some(64 * 1024 - 3), "abc"),
            (&[CHUNKED], "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", None, "abc"),
            (&[CHUNKED, ("content-length", "1")], "2\r\nab\r\n1", Some(64 * 1024 - 8), "ab"),
            (&[CHUNKED], "ff\r\nab", Some(64 * 1024 - 6), "ab"),
            (&[CHUNKED], "no chunk\r\nab", None, ""),
        ];
        for (headers, received, room, expected) in cases {
            let body = body(headers, received);
            assert_eq!(body.room(), room, "{headers:?}, {received:?}");
            assert_eq!(body.into_bytes(), expected, "{headers:?}, {received:?}");
        }
    }

    #[test]
    fn a_chunk_that_ends_anywhere_is_no_panic() {
        let whole = "3\r\nabc\r\n0\r\n\r\n";
        for end in 0..whole.len() {
            let (body, is_complete) = dechunk(&whole.as_bytes()[..end]);
            assert!(b"abc".starts_with(&body) && is_complete == (end >= 11), "{end}");
        }
    }

    #[test]
    fn more_than_the_limit_is_not_kept() {
        let body = body(&[], &"x".repeat(100_000));
        assert_eq!((body.room(), body.into_bytes().len()), (None, MAX_BODY));
    }
}
