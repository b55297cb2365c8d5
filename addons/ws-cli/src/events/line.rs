//! One line of JSON per event: `--jsonl`, `ws record` and `ws replay`.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use ws_client::{CloseCode, Message, close::CloseFrame};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close { code: u16, reason: String },
}

impl Event {
    /// What was received.
    pub(crate) fn received(event: ws_client::Event) -> Option<Self> {
        match event {
            ws_client::Event::Message(message) => Some(Self::Message(message)),
            ws_client::Event::Ping(payload) => Some(Self::Ping(payload.into())),
            ws_client::Event::Pong(payload) => Some(Self::Pong(payload.into())),
            ws_client::Event::Close(CloseFrame { code, reason }) => {
                // 1005 stands for a Close without a code (RFC 6455 section 7.4.1).
                Some(Self::Close { code: code.map_or(1005, CloseCode::get), reason: reason.into() })
            }
            _ => None,
        }
    }
}

/// An event and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// Seconds since 1970.
    pub(crate) time: Option<f64>,
    pub(crate) direction: Option<Direction>,
    pub(crate) event: Event,
}

impl Line {
    /// An event of this moment.
    pub(crate) fn now(direction: Direction, event: Event) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { time: Some(time.as_secs_f64()), direction: Some(direction), event }
    }

    /// The line, without a line break.
    pub(crate) fn encode(&self) -> String {
        let mut line = "{".to_owned();
        if let Some(time) = self.time {
            let _ = write!(line, "\"t\":{time:.6},");
        }
        if let Some(direction) = self.direction {
            let name = if direction == Direction::In { "in" } else { "out" };
            let _ = write!(line, "\"dir\":\"{name}\",");
        }
        let _ = match &self.event {
            Event::Message(message) => match message.as_text() {
                Some(text) => {
                    write!(line, "\"type\":\"text\",\"size\":{},\"data\":{}}}", text.len(), quoted(text))
                }
                None => {
                    let bytes = message.as_bytes();
                    let encoded = BASE64_STANDARD.encode(bytes);
                    write!(line, "\"type\":\"binary\",\"size\":{},\"base64\":\"{encoded}\"}}", bytes.len())
                }
            },
            Event::Ping(payload) => {
                write!(line, "\"type\":\"ping\",\"base64\":\"{}\"}}", BASE64_STANDARD.encode(payload))
            }
            Event::Pong(payload) => {
                write!(line, "\"type\":\"pong\",\"base64\":\"{}\"}}", BASE64_STANDARD.encode(payload))
            }
            Event::Close { code, reason } => {
                write!(line, "\"type\":\"close\",\"code\":{code},\"reason\":{}}}", quoted(reason))
            }
        };
        line
    }

    /// Parses a line. `type` may be missing: then `data` is text, and `base64` is binary.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(object) = value else { return Err("not a JSON object".to_owned()) };
        let time = object.get("t").and_then(Value::as_f64);
        let direction = match object.get("dir").map(Value::as_str) {
            None => None,
            Some(Some("in")) => Some(Direction::In),
            Some(Some("out")) => Some(Direction::Out),
            Some(_) => return Err("\"dir\" is neither \"in\" nor \"out\"".to_owned()),
        };
        Ok(Self { time, direction, event: event(&object)? })
    }
}

fn event(object: &Map<String, Value>) -> Result<Event, String> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let bytes = || match text("base64") {
        Some(encoded) => {
            BASE64_STANDARD.decode(encoded).map(Some).map_err(|_| "\"base64\" is not base64".to_owned())
        }
        None => Ok(text("data").map(|data| data.as_bytes().to_vec())),
    };
    let default = if object.contains_key("base64") { "binary" } else { "text" };
    match object.get("type").map_or(Some(default), Value::as_str) {
        Some("text") => {
            let data = text("data").ok_or("a text has no \"data\"")?;
            Ok(Event::Message(Message::text(data)))
        }
        Some("binary") => {
            let data = bytes()?.ok_or("a binary message has neither \"base64\" nor \"data\"")?;
            Ok(Event::Message(Message::binary(data)))
        }
        Some("ping") => Ok(Event::Ping(bytes()?.unwrap_or_default())),
        Some("pong") => Ok(Event::Pong(bytes()?.unwrap_or_default())),
        Some("close") => {
            let code = object.get("code").map_or(Some(1000), Value::as_u64);
            let code =
                code.and_then(|code| u16::try_from(code).ok()).ok_or("\"code\" is not a close code")?;
            Ok(Event::Close { code, reason: text("reason").unwrap_or_default().to_owned() })
        }
        _ => Err("\"type\" is none of text, binary, ping, pong and close".to_owned()),
    }
}

/// A string in JSON.
fn quoted(text: &str) -> String {
    // Strings always have a form in JSON.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_parses_back() {
        for event in [
            Event::Message(Message::text("a\n\"b\" \u{1b}")),
            Event::Message(Message::binary(vec![0, 255])),
            Event::Ping(vec![1, 2]),
            Event::Pong(Vec::new()),
            Event::Close { code: 1011, reason: "why".to_owned() },
        ] {
            let line = Line { time: Some(1.5), direction: Some(Direction::In), event };
            let encoded = line.encode();
            assert!(!encoded.contains(|at: char| at.is_control()), "{encoded}");
            assert_eq!(Line::parse(&encoded), Ok(line), "{encoded}");
        }
    }

    #[test]
    fn the_type_may_be_left_out() {
        let parse = |line: &str| Line::parse(line).unwrap().event;
        assert_eq!(parse(r#"{"data":"a"}"#), Event::Message(Message::text("a")));
        assert_eq!(parse(r#"{"base64":"AAE="}"#), Event::Message(Message::binary(vec![0, 1])));
        assert_eq!(parse(r#"{"type":"close"}"#), Event::Close { code: 1000, reason: String::new() });
    }

    #[test]
    fn a_bad_line_is_an_error_that_says_why() {
        for (line, why) in [
            ("hello", "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "no \"data\""),
            (r#"{"type":"pang"}"#, "\"type\""),
            (r#"{"base64":"?"}"#, "not base64"),
            (r#"{"type":"close","code":70000}"#, "close code"),
            (r#"{"dir":"up","data":""}"#, "\"dir\""),
        ] {
            assert!(Line::parse(line).unwrap_err().contains(why), "{line}");
        }
    }
}
