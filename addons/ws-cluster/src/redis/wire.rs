//! The protocol of a connection that subscribes (RESP, version 2 or 3): commands out, messages and confirmations in.
//!
//! The `redis` crate is not used here. It counts confirmations as answers in their order, and a broker that moves a
//! slot sends some that were not asked for.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line, and the most items of an array. What a subscriber gets is far below.
const MOST_LINE: usize = 64 * 1024;
const MOST_ITEMS: usize = 16;
/// The longest string. It is the default of Redis (`proto-max-bulk-len`).
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// What a broker sends to a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A publication.
    Message { channel: Bytes, payload: Bytes },
    /// A channel is subscribed now.
    Subscribed(Bytes),
    /// A channel is not subscribed any more.
    Unsubscribed(Bytes),
    /// A command failed. The text begins with the error's code.
    Error(String),
    /// Any other answer.
    Other,
}

/// The broker broke the protocol.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server broke the Redis protocol: {0}")]
pub(super) struct WireError(&'static str);

/// Appends a command.
pub(super) fn encode<'a>(out: &mut BytesMut, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Collects bytes and takes frames out of them.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) buffer: BytesMut,
    /// The next frame has at least this many bytes.
    needed: usize,
}

impl Frames {
    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, WireError> {
        if self.buffer.is_empty() || self.buffer.len() < self.needed {
            return Ok(None);
        }
        let mut scan = Scan { bytes: &self.buffer, at: 0 };
        match scan.frame() {
            Ok(incoming) => {
                let length = scan.at;
                self.buffer.advance(length);
                self.needed = 0;
                Ok(Some(incoming))
            }
            Err(Stop::Needs(length)) => {
                self.needed = length;
                Ok(None)
            }
            Err(Stop::Broken(reason)) => Err(WireError(reason)),
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Stop {
    /// The frame has at least this many bytes.
    Needs(usize),
    Broken(&'static str),
}

enum Item<'a> {
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Scan<'a> {
    fn frame(&mut self) -> Result<Incoming, Stop> {
        let line = self.line()?;
        match line[0] {
            b'-' => Ok(Incoming::Error(String::from_utf8_lossy(&line[1..]).into_owned())),
            b'+' | b':' => Ok(Incoming::Other),
            b'$' => self.bulk(line).map(|_| Incoming::Other),
            b'*' | b'>' => self.array(line),
            _ => Err(Stop::Broken("an unexpected type")),
        }
    }

    fn array(&mut self, line: &[u8]) -> Result<Incoming, Stop> {
        let length =
            number(line)?.filter(|&length| length <= MOST_ITEMS).ok_or(Stop::Broken("a bad array"))?;
        let mut words: [&[u8]; 3] = [&[]; 3];
        for index in 0..length {
            let line = self.line()?;
            let item = match line[0] {
                b'$' => self.bulk(line)?,
                b':' | b'_' | b'+' => Item::Other,
                _ => return Err(Stop::Broken("an unexpected type in an array")),
            };
            if let (Some(word), Item::Bytes(bytes)) = (words.get_mut(index), item) {
                *word = bytes;
            }
        }
        // Copies: a slice would keep a whole read buffer in memory for as long as the publication lives.
        let [kind, channel, payload] = words;
        let channel = || Bytes::copy_from_slice(channel);
        Ok(match kind {
            b"message" | b"smessage" => {
                Incoming::Message { channel: channel(), payload: Bytes::copy_from_slice(payload) }
            }
            b"subscribe" | b"ssubscribe" => Incoming::Subscribed(channel()),
            b"unsubscribe" | b"sunsubscribe" => Incoming::Unsubscribed(channel()),
            _ => Incoming::Other,
        })
    }

    fn bulk(&mut self, line: &[u8]) -> Result<Item<'a>, Stop> {
        let Some(length) = number(line)? else { return Ok(Item::Other) };
        if length > MOST_BYTES {
            return Err(Stop::Broken("a string that is too long"));
        }
        let end = self.at + length;
        if self.bytes.len() < end + 2 {
            return Err(Stop::Needs(end + 2));
        }
        let bytes = &self.bytes[self.at..end];
        if &self.bytes[end..end + 2] != b"\r\n" {
            return Err(Stop::Broken("a string without an end"));
        }
        self.at = end + 2;
        Ok(Item::Bytes(bytes))
    }

    /// A line of at least one byte, without its end.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().take(MOST_LINE).position(|&byte| byte == b'\n') else {
            return if rest.len() < MOST_LINE {
                Err(Stop::Needs(self.bytes.len() + 1))
            } else {
                Err(Stop::Broken("a line that is too long"))
            };
        };
        self.at += end + 1;
        match rest[..end].strip_suffix(b"\r") {
            Some(line) if !line.is_empty() => Ok(line),
            _ => Err(Stop::Broken("a bad line")),
        }
    }
}

/// The number behind the type. `None`: -1, which stands for nothing.
fn number(line: &[u8]) -> Result<Option<usize>, Stop> {
    let digits = std::str::from_utf8(&line[1..]).map_err(|_| Stop::Broken("a bad length"))?;
    if digits == "-1" {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| Stop::Broken("a bad length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Incoming>, WireError> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for part in bytes.chunks(step) {
            frames.buffer.extend_from_slice(part);
            while let Some(incoming) = frames.next()? {
                found.push(incoming);
            }
        }
        assert!(frames.buffer.is_empty());
        Ok(found)
    }

    #[test]
    fn frames_are_read_whatever_the_chunks() {
        let bytes = b"+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n>3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$4\r\nx\r\ny\r\n\
            -MOVED 12 1.2.3.4:6379\r\n>3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n";
        let (a, payload) = (Bytes::from_static(b"a"), Bytes::from_static(b"x\r\ny"));
        for step in 1..bytes.len() {
            let expected = vec![
                Incoming::Other,
                Incoming::Subscribed(a.clone()),
                Incoming::Message { channel: a.clone(), payload: payload.clone() },
                Incoming::Error("MOVED 12 1.2.3.4:6379".into()),
                Incoming::Unsubscribed(a.clone()),
                Incoming::Unsubscribed(Bytes::new()),
            ];
            assert_eq!(all(bytes, step), Ok(expected), "step {step}");
        }
    }

    #[test]
    fn broken_frames_are_refused() {
        let inputs: [&[u8]; 8] = [
            b"!\r\n",
            b"\r\n",
            b"\n",
            b"*x\r\n",
            b"*17\r\n",
            b"*1\r\n*1\r\n",
            b"$1\r\nabc",
            b"*1\r\n$99999999999\r\n",
        ];
        for bytes in inputs {
            assert!(all(bytes, bytes.len()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut out = BytesMut::new();
        encode(&mut out, ["PING".as_bytes(), b""].into_iter());
        assert_eq!(&out[..], b"*2\r\n$4\r\nPING\r\n$0\r\n\r\n");
    }
}
