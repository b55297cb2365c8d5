use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Limits;

/// Why a head is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadError {
    BareLineFeed,
    NotHttp,
    TooLarge,
    TooManyLines,
}

/// Finds the empty line that ends an HTTP head, across any number of reads. It scans each byte once.
///
/// Line ends must be CRLF. A reader that accepts a bare LF sees other headers than a proxy that does not. The reader
/// of responses decides about bare LFs itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadScanner {
    max_size: usize,
    max_lines: usize,
    /// Whether an empty line may come first.
    skips_empty_line: bool,
    /// The position of the first line.
    start: usize,
    takes_bare_line_feeds: bool,
    scanned: usize,
    line_start: usize,
    /// The number of complete lines, including the first one.
    lines: usize,
}

impl HeadScanner {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            max_size: limits.max_head_size,
            max_lines: limits.max_header_lines,
            skips_empty_line: false,
            start: 0,
            takes_bare_line_feeds: false,
            scanned: 0,
            line_start: 0,
            lines: 0,
        }
    }

    /// Accepts one empty line before the head, which a server ignores (RFC 9112 section 2.2).
    pub(super) const fn skipping_empty_line(mut self) -> Self {
        self.skips_empty_line = true;
        self
    }

    /// Accepts lines that end in a bare LF.
    pub(super) const fn with_bare_line_feeds(mut self) -> Self {
        self.takes_bare_line_feeds = true;
        self
    }

    /// Continues the scan. `bytes` holds everything received so far. Returns the length of the head, including the
    /// empty line that ends it.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadError> {
        if self.skips_empty_line && self.scanned == 0 {
            match bytes {
                b"\r" => return Ok(None),
                [b'\r', b'\n', ..] => (self.start, self.scanned, self.line_start) = (2, 2, 2),
                _ => {}
            }
        }
        if bytes.get(self.start).is_some_and(|byte| !byte.is_ascii_alphabetic()) {
            return Err(HeadError::NotHttp);
        }
        let window = &bytes[..bytes.len().min(self.max_size)];
        while let Some(offset) = line_feed(&window[self.scanned..]) {
            let line_feed = self.scanned + offset;
            self.scanned = line_feed + 1;
            let has_return = line_feed > self.line_start && window[line_feed - 1] == b'\r';
            if !has_return && !self.takes_bare_line_feeds {
                return Err(HeadError::BareLineFeed);
            }
            let is_empty = line_feed - usize::from(has_return) == self.line_start;
            self.line_start = self.scanned;
            if is_empty {
                return Ok(Some(self.scanned));
            }
            self.lines += 1;
            if self.header_lines() > self.max_lines {
                return Err(HeadError::TooManyLines);
            }
        }
        self.scanned = window.len();
        if bytes.len() >= self.max_size { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    /// The position of the first line.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// The number of lines after the first.
    pub(super) const fn header_lines(&self) -> usize {
        self.lines.saturating_sub(1)
    }
}

/// The position of the first line feed. Looks at eight bytes at a time.
fn line_feed(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const LINE_FEEDS: u64 = u64::from_le_bytes([b'\n'; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let differences = u64::from_le_bytes(*word) ^ LINE_FEEDS;
        // The lowest high bit that is set marks the first byte without a difference.
        let equal = differences.wrapping_sub(ONES) & !differences & (ONES << 7);
        if equal != 0 {
            return Some(8 * index + equal.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == b'\n').map(|offset| 8 * words.len() + offset)
}

/// All header lines, including repeated ones. The lines are slices of `head`, and the values share its memory.
pub(super) fn header_map(head: &Bytes, lines: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
    // The infallible calls panic if there are more lines than a map can hold.
    let mut headers = HeaderMap::try_with_capacity(lines.len()).map_err(|_| HeadError::TooManyLines)?;
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| HeadError::NotHttp)?;
        let value =
            HeaderValue::from_maybe_shared(head.slice_ref(line.value)).map_err(|_| HeadError::NotHttp)?;
        headers.try_append(name, value).map_err(|_| HeadError::TooManyLines)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::line_feed;

    #[test]
    fn the_first_line_feed_is_found_at_any_position_behind_any_bytes() {
        for before in 0..=u8::MAX {
            for len in 0..20 {
                for position in 0..len {
                    let mut bytes = vec![before; len];
                    bytes[position] = b'\n';
                    let expected = bytes.iter().position(|byte| *byte == b'\n');
                    assert_eq!(line_feed(&bytes), expected, "{bytes:?}");
                }
                let none = vec![before; len];
                assert_eq!(line_feed(&none), none.iter().position(|byte| *byte == b'\n'), "{none:?}");
            }
        }
    }
}
