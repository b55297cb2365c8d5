//! Splits the input into messages.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;
use ws_client::Message;

use crate::{
    cli::FramingArgs,
    events::{Direction, Event, Line},
    exit::{Failure, Outcome},
};

/// Reads the standard input on a thread of its own, because such a read cannot be cancelled. The channel ends with the
/// input; an error is its last item.
pub(crate) fn stdin(framing: FramingArgs, max_size: usize) -> mpsc::Receiver<Outcome<Event>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut input = Splitter { input: io::stdin().lock(), framing, max_size, number: 0 };
        while let Some(event) = input.next().transpose() {
            let is_error = event.is_err();
            if sender.blocking_send(event).is_err() || is_error {
                break;
            }
        }
    });
    receiver
}

/// The input and its messages.
pub(super) struct Splitter<R> {
    input: R,
    framing: FramingArgs,
    max_size: usize,
    /// The number of the last message.
    number: u64,
}

impl<R: BufRead> Splitter<R> {
    /// The next message, or `None` at the end.
    fn next(&mut self) -> Outcome<Option<Event>> {
        self.number += 1;
        if self.framing.length_prefixed {
            return self.length_prefixed();
        }
        if self.framing.whole {
            return self.whole();
        }
        loop {
            let end = if self.framing.null { 0 } else { b'\n' };
            let Some(mut bytes) = self.until(end)? else { return Ok(None) };
            if !self.framing.null && bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            if !self.framing.jsonl {
                return self.message(bytes).map(Some);
            }
            match self.json_line(&bytes)? {
                Some(event) => return Ok(Some(event)),
                None => self.number += 1,
            }
        }
    }

    /// The bytes before the separator or the end; `None` at the end.
    fn until(&mut self, separator: u8) -> Outcome<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let limit = self.limit();
        self.input.by_ref().take(limit).read_until(separator, &mut bytes).map_err(|error| failed(&error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.last() == Some(&separator) {
            bytes.pop();
        } else if bytes.len() as u64 == limit {
            return Err(self.too_long());
        }
        Ok(Some(bytes))
    }

    /// More than a message may have. A JSON line is longer than its message: up to six bytes per character.
    const fn limit(&self) -> u64 {
        let factor = if self.framing.jsonl { 6 } else { 1 };
        (self.max_size as u64).saturating_mul(factor).saturating_add(1024)
    }

    fn length_prefixed(&mut self) -> Outcome<Option<Event>> {
        let mut prefix = [0; 4];
        let mut have = 0;
        while have < prefix.len() {
            match self.input.read(&mut prefix[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(self.cut()),
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        let len = u32::from_be_bytes(prefix) as usize;
        if len > self.max_size {
            return Err(self.too_long());
        }
        let mut bytes = Vec::new();
        self.input.by_ref().take(len as u64).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        if bytes.len() < len {
            return Err(self.cut());
        }
        self.message(bytes).map(Some)
    }

    /// The whole input as one message, an empty one too.
    fn whole(&mut self) -> Outcome<Option<Event>> {
        if self.number > 1 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let limit = self.limit();
        self.input.by_ref().take(limit).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        self.message(bytes).map(Some)
    }

    fn message(&self, bytes: Vec<u8>) -> Outcome<Event> {
        if bytes.len() > self.max_size {
            return Err(self.too_long());
        }
        if self.framing.binary {
            return Ok(Event::Message(Message::binary(bytes)));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            self.fault("is not UTF-8, which a text message must be; use --binary for other data")
        })?;
        Ok(Event::Message(Message::text(text)))
    }

    /// `None` for an empty line, and for an event that a recording received.
    fn json_line(&self, bytes: &[u8]) -> Outcome<Option<Event>> {
        let text = std::str::from_utf8(bytes).map_err(|_| self.fault("is not UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let line = Line::parse(text).map_err(|why| self.fault(&format!("is {why}")))?;
        Ok((line.direction != Some(Direction::In)).then_some(line.event))
    }

    fn too_long(&self) -> Failure {
        self.fault(&format!("is longer than --max-size ({} bytes)", self.max_size))
    }

    fn cut(&self) -> Failure {
        self.fault("ends before its length")
    }

    fn fault(&self, what: &str) -> Failure {
        let unit = if self.framing.null || self.framing.length_prefixed { "message" } else { "line" };
        if self.framing.whole {
            return Failure::usage(format!("the input {what}"));
        }
        Failure::usage(format!("{unit} {} of the input {what}", self.number))
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::local("reading the input failed", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(input: &[u8], framing: FramingArgs, max_size: usize) -> Result<Vec<Event>, String> {
        let mut splitter = Splitter { input, framing, max_size, number: 0 };
        std::iter::from_fn(|| splitter.next().transpose())
            .collect::<Outcome<_>>()
            .map_err(|failure| failure.message)
    }

    fn texts(texts: &[&str]) -> Result<Vec<Event>, String> {
        Ok(texts.iter().map(|text| Event::Message(Message::text(*text))).collect())
    }

    const LINES: FramingArgs =
        FramingArgs { null: false, length_prefixed: false, whole: false, jsonl: false, binary: false };

    #[test]
    fn a_line_is_a_message_also_an_empty_one_and_the_last_one() {
        assert_eq!(split(b"a\n\nb\r\nc", LINES, 9), texts(&["a", "", "b", "c"]));
        assert_eq!(split(b"", LINES, 9), texts(&[]));
    }

    #[test]
    fn zero_bytes_separate_messages_that_may_have_line_breaks() {
        let framing = FramingArgs { null: true, ..LINES };
        assert_eq!(split(b"a\nb\r\0c\0", framing, 9), texts(&["a\nb\r", "c"]));
    }

    #[test]
    fn a_length_precedes_each_message() {
        let framing = FramingArgs { length_prefixed: true, ..LINES };
        assert_eq!(split(b"\0\0\0\x02ab\0\0\0\0", framing, 9), texts(&["ab", ""]));
        assert!(split(b"\0\0\0\x02a", framing, 9).unwrap_err().contains("ends before its length"));
        assert!(split(b"\0\0", framing, 9).unwrap_err().contains("ends before its length"));
        assert!(split(b"\xff\xff\xff\xff", framing, 9).unwrap_err().contains("longer than --max-size"));
    }

    #[test]
    fn the_whole_input_is_one_message() {
        let framing = FramingArgs { whole: true, ..LINES };
        assert_eq!(split(b"a\nb\n", framing, 9), texts(&["a\nb\n"]));
        assert_eq!(split(b"", framing, 9), texts(&[""]));
    }

    #[test]
    fn a_json_line_is_an_event_and_received_ones_are_skipped() {
        let framing = FramingArgs { jsonl: true, ..LINES };
        let input =
            b"{\"data\":\"a\"}\n\n{\"dir\":\"in\",\"data\":\"b\"}\n{\"dir\":\"out\",\"data\":\"c\"}\n";
        assert_eq!(split(input, framing, 9), texts(&["a", "c"]));
        assert!(
            split(b"{\"data\":\"a\"}\nx\n", framing, 9)
                .unwrap_err()
                .starts_with("line 2 of the input is not JSON")
        );
    }

    #[test]
    fn text_must_be_utf_8_and_no_longer_than_the_limit() {
        assert!(split(b"a\n\xff\n", LINES, 9).unwrap_err().starts_with("line 2 of the input is not UTF-8"));
        let binary = FramingArgs { binary: true, ..LINES };
        assert_eq!(split(b"\xff\n", binary, 9), Ok(vec![Event::Message(Message::binary(vec![0xff]))]));
        assert!(split(b"0123456789\n", LINES, 9).unwrap_err().contains("longer than --max-size (9 bytes)"));
        assert!(split(&[b'x'; 5000], LINES, 9).unwrap_err().contains("longer than --max-size"));
    }
}
