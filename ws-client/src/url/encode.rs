//! Percent-encoding of paths and queries, as the URL standard defines it for `ws` and `wss`
//! (<https://url.spec.whatwg.org/#path-state>, <https://url.spec.whatwg.org/#query-state>).

/// Characters that are percent-encoded in a path, in addition to spaces, control characters and non-ASCII
/// characters.
const IN_PATH: &[u8] = b"\"#<>?^`{}";
/// The same for a query.
const IN_QUERY: &[u8] = b"\"#<>'";

/// The request target: a path that begins with a slash, and the query if there is one. `text` must not have a
/// fragment.
///
/// Backslashes in the path become slashes. Existing percent-encoding is kept.
pub(super) fn path_and_query(text: &str) -> String {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let mut encoded = remove_dot_segments(&encode(&path.replace('\\', "/"), IN_PATH));
    if let Some(query) = query {
        encoded.push('?');
        encoded += &encode(query, IN_QUERY);
    }
    encoded
}

fn encode(text: &str, also: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !also.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 0xf].map(|digit| char::from(DIGITS[usize::from(digit)]));
            encoded.extend(['%', digits[0], digits[1]]);
        }
    }
    encoded
}

/// Removes the segments `.` and `..` (RFC 3986 section 5.2.4). Their dots may be percent-encoded.
fn remove_dot_segments(path: &str) -> String {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            0 => kept.push(segment),
            dots => {
                if dots == 2 {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
        }
    }
    format!("/{}", kept.join("/"))
}

/// 1 for `.`, 2 for `..`, 0 for any other segment.
fn dots(segment: &str) -> usize {
    let mut rest = segment;
    let mut count = 0;
    while let Some(after_dot) =
        ["%2e", "%2E", "."].iter().find_map(|dot| rest.strip_prefix(dot)).filter(|_| count < 2)
    {
        rest = after_dot;
        count += 1;
    }
    if rest.is_empty() { count } else { 0 }
}
