//! The position of a publication, written into its message.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use ws_proto::Message;

use super::position::Position;

/// Puts the [`Position`] of each publication into its message, so that the peer can name the last one that it has.
///
/// Text is put around the payload of text messages. In front of binary messages are 16 bytes: epoch and offset,
/// big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Arc<Texts>);

#[derive(Debug, PartialEq, Eq)]
struct Texts {
    before: String,
    between: String,
    after: String,
}

impl Stamp {
    /// A text message is `before`, the position (`epoch-offset`), `between`, the payload, `after`.
    #[must_use]
    pub fn new(before: impl Into<String>, between: impl Into<String>, after: impl Into<String>) -> Self {
        Self(Arc::new(Texts { before: before.into(), between: between.into(), after: after.into() }))
    }

    /// A text message is a JSON object with the position, as a string, and the payload, which must be JSON itself:
    /// `Stamp::json("at", "data")` makes `{"at":"5-17","data":PAYLOAD}`.
    #[must_use]
    pub fn json(position: &str, payload: &str) -> Self {
        let before = format!("{{{}:\"", json_string(position));
        Self::new(before, format!("\",{}:", json_string(payload)), "}")
    }

    /// The stamped message. The payload is copied.
    pub(crate) fn apply(&self, position: Position, message: &Message) -> Message {
        match message {
            Message::Text(text) => {
                let Texts { before, between, after } = &*self.0;
                // A position has up to 41 characters.
                let len = before.len() + 41 + between.len() + text.len() + after.len();
                let mut stamped = String::with_capacity(len);
                stamped.push_str(before);
                // Writing to a string does not fail.
                let _ = write!(stamped, "{position}");
                stamped.push_str(between);
                stamped.push_str(text);
                stamped.push_str(after);
                Message::from(stamped)
            }
            Message::Binary(bytes) => {
                let mut stamped = Vec::with_capacity(16 + bytes.len());
                stamped.extend_from_slice(&position.to_bytes());
                stamped.extend_from_slice(bytes);
                Message::Binary(Bytes::from(stamped))
            }
        }
    }
}

/// A string in JSON (RFC 8259 section 7).
fn json_string(text: &str) -> String {
    let mut json = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            '\0'..='\x1f' => {
                let _ = write!(json, "\\u{:04x}", char as u32);
            }
            _ => json.push(char),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { epoch: 5, offset: 17 };

    #[test]
    fn text_is_wrapped_in_json() {
        let stamped = Stamp::json("at", "data").apply(AT, &Message::from(r#"{"x":1}"#));
        assert_eq!(stamped, *r#"{"at":"5-17","data":{"x":1}}"#);
    }

    #[test]
    fn names_in_json_are_escaped() {
        let stamped = Stamp::json("a\"\\\n", "d").apply(AT, &Message::from("1"));
        assert_eq!(stamped, *r#"{"a\"\\\u000a":"5-17","d":1}"#);
    }

    #[test]
    fn text_is_wrapped_in_plain_text() {
        let stamped = Stamp::new("<", "> ", ".").apply(AT, &Message::from("hello"));
        assert_eq!(stamped, *"<5-17> hello.");
    }

    #[test]
    fn binary_begins_with_the_position() {
        let stamped = Stamp::json("at", "data").apply(AT, &Message::from(vec![1, 2]));
        assert_eq!(stamped, [&AT.to_bytes()[..], &[1, 2]].concat()[..]);
    }
}
