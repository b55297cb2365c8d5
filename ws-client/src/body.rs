//! The body of a response that refuses the upgrade (RFC 9112 sections 6 and 7).

use bytes::Bytes;
use http::{Response, StatusCode, header};

/// Limit for a body, in bytes on the wire.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// The part of a body that has been received.
pub(crate) struct Body {
    payload: Vec<u8>,
    /// Bytes received, including chunk framing.
    received: usize,
    framing: Framing,
}

/// How the end of the body is determined.
#[derive(Debug)]
enum Framing {
    /// By length. The number of bytes that are still missing.
    Length(usize),
    Chunked(Chunks),
    /// By the end of the stream.
    UntilClose,
}

impl Framing {
    fn of(head: &Response<()>) -> Self {
        let value = |name| head.headers().get(name).and_then(|value| value.to_str().ok());
        if matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Self::Length(0);
        }
        match (value(header::TRANSFER_ENCODING), value(header::CONTENT_LENGTH).map(str::parse)) {
            (Some(coding), _) if coding.trim().eq_ignore_ascii_case("chunked") => {
                Self::Chunked(Chunks::default())
            }
            (None, Some(Ok(length))) => Self::Length(length),
            _ => Self::UntilClose,
        }
    }
}

impl Body {
    /// `received` holds the bytes that followed the head.
    pub(crate) fn new(head: &Response<()>, received: &[u8]) -> Self {
        let mut body = Self { payload: Vec::new(), received: 0, framing: Framing::of(head) };
        body.push(received);
        body
    }

    /// The largest number of bytes that the body still accepts.
    pub(crate) fn room(&self) -> usize {
        let most = MAX_BODY - self.received;
        match &self.framing {
            Framing::Length(left) => most.min(*left),
            Framing::Chunked(chunks) if chunks.is_done() => 0,
            _ => most,
        }
    }

    /// Appends received bytes, up to [`room`](Self::room). Each byte is parsed once, however small the reads
    /// are.
    pub(crate) fn push(&mut self, received: &[u8]) {
        let received = &received[..received.len().min(self.room())];
        self.received += received.len();
        match &mut self.framing {
            Framing::Chunked(chunks) => chunks.push(received, &mut self.payload),
            Framing::Length(left) => {
                *left -= received.len();
                self.payload.extend_from_slice(received);
            }
            Framing::UntilClose => self.payload.extend_from_slice(received),
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.payload.into()
    }
}

/// Position of the next byte in chunked coding (RFC 9112 section 7.1).
#[derive(Debug)]
enum Chunks {
    /// In the line with a chunk's size. `size` is the value of the digits so far. Once it is complete, only
    /// extensions follow, which are ignored.
    Size { size: Option<usize>, is_complete: bool },
    /// In a chunk's payload: the number of bytes that are missing.
    Payload(usize),
    /// In the line end after a chunk's payload.
    LineEnd,
    /// After the last chunk, or after a syntax error.
    Done,
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Size { size: None, is_complete: false }
    }
}

impl Chunks {
    const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Parses `wire` and appends its payload bytes to `payload`.
    fn push(&mut self, mut wire: &[u8], payload: &mut Vec<u8>) {
        while let Some((first, rest)) = wire.split_first() {
            *self = match *self {
                Self::Size { size, is_complete } => {
                    wire = rest;
                    Self::next_in_size_line(*first, size, is_complete)
                }
                Self::Payload(left) => {
                    let (chunk, rest) = wire.split_at(left.min(wire.len()));
                    payload.extend_from_slice(chunk);
                    wire = rest;
                    if left > chunk.len() { Self::Payload(left - chunk.len()) } else { Self::LineEnd }
                }
                Self::LineEnd => {
                    wire = rest;
                    match first {
                        b'\r' => Self::LineEnd,
                        b'\n' => Self::default(),
                        _ => Self::Done,
                    }
                }
                Self::Done => return,
            };
        }
    }

    /// The position after one more byte of a chunk's size line.
    fn next_in_size_line(byte: u8, size: Option<usize>, is_complete: bool) -> Self {
        match (byte, size) {
            (b'\n', Some(0) | None) => Self::Done,
            (b'\n', Some(size)) => Self::Payload(size),
            (b'\r' | b' ' | b'\t' | b';', size) => Self::Size { size, is_complete: true },
            (_, size) if is_complete => Self::Size { size, is_complete },
            (digit, size) => {
                let size = char::from(digit)
                    .to_digit(16)
                    .and_then(|digit| size.unwrap_or(0).checked_mul(16)?.checked_add(digit as usize));
                size.map_or(Self::Done, |size| Self::Size { size: Some(size), is_complete })
            }
        }
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
        Body::new(&head.body(()).unwrap(), received.as_bytes())
    }

    #[test]
    fn the_head_determines_where_the_body_ends() {
        const CHUNKED: (&str, &str) = ("transfer-encoding", "Chunked");
        let cases: [(Headers<'_>, &str, usize, &str); 12] = [
            (&[], "abc", MAX_BODY - 3, "abc"),
            (&[("content-length", "5")], "abc", 2, "abc"),
            (&[("content-length", "2")], "abc", 0, "ab"),
            (&[("content-length", "x")], "abc", MAX_BODY - 3, "abc"),
            (&[("content-length", "99999999999")], "abc", MAX_BODY - 3, "abc"),
            (&[CHUNKED], "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", 0, "abc"),
            (&[CHUNKED, ("content-length", "1")], "2\r\nab\r\n1", MAX_BODY - 8, "ab"),
            (&[CHUNKED], "ff\r\nab", MAX_BODY - 6, "ab"),
            (&[CHUNKED], "no chunk\r\nab", 0, ""),
            (&[CHUNKED], "\r\nab", 0, ""),
            (&[CHUNKED], "1\r\nabc", 0, "a"),
            (&[CHUNKED], "fffffffffffffffff\r\nab", 0, ""),
        ];
        for (headers, received, room, expected) in cases {
            let whole = body(headers, received);
            assert_eq!(whole.room(), room, "{headers:?}, {received:?}");
            let mut in_bytes = body(headers, "");
            received.as_bytes().chunks(1).for_each(|byte| in_bytes.push(byte));
            for body in [whole, in_bytes] {
                assert_eq!(body.into_bytes(), expected, "{headers:?}, {received:?}");
            }
        }
    }

    #[test]
    fn bytes_beyond_the_limit_are_not_kept() {
        let body = body(&[], &"x".repeat(100_000));
        assert_eq!((body.room(), body.into_bytes().len()), (0, MAX_BODY));
    }

    #[test]
    fn a_body_in_one_byte_chunks_is_limited_by_its_size_on_the_wire() {
        const CHUNK: &[u8] = b"1\r\nx\r\n";
        let mut body = body(&[("transfer-encoding", "chunked")], "");
        let mut wire = CHUNK.iter().cycle();
        while body.room() > 0 {
            body.push(&[*wire.next().unwrap()]);
        }
        assert_eq!(body.into_bytes(), "x".repeat(MAX_BODY.div_ceil(CHUNK.len())));
    }
}
