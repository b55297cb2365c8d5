//! What the page and the server say to each other: JSON objects with a `type`, one in each text message.
//!
//! | the page says | the server says |
//! |---|---|
//! | `hello` with a `name`, first | `welcome`: the `id` of this connection, `limits`, the standing `rooms` |
//! | `enter` a `room`, perhaps `from` a position | the messages behind it, then `entered`: what was `recovered`, the `position`, who is `here` |
//! | `say` a `text`, with a `ref` of its own | `{"at": POSITION, "data": {"type": "said", …}}`, to all in the room |
//! | `typing`, `on` or not | `typing`, to the others in the room |
//! | `leave` a `room` | `joined`, `left`: others come and go; `here`: all who are here |
//! | `ping` | `pong`; `refused`, with `why`, for a command that was not done |

use std::fmt;

use serde_json::{Value, json};
use ws_server::topics::Position;

/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 24;
/// The longest name of a room, in characters.
pub(crate) const MAX_ROOM: usize = 24;
/// The longest text of a message, in characters.
pub(crate) const MAX_TEXT: usize = 2_000;
/// The longest reference to a message, in bytes.
const MAX_REFERENCE: usize = 40;

/// A command of the page. What it holds is within the limits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Hello { name: String },
    Enter { room: RoomName, from: Option<Position> },
    Leave { room: RoomName },
    Say { room: RoomName, text: String, reference: String },
    Typing { room: RoomName, on: bool },
    Ping,
}

/// Why a message is not a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The page never sends this.
    Malformed,
    /// A visitor may have caused it, and gets the reason.
    Refused(String),
}

/// Lower-case letters and digits, with single hyphens or underscores between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RoomName(String);

impl Command {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let fields: Value = serde_json::from_str(text).map_err(|_| Fault::Malformed)?;
        let string = |key: &str| fields[key].as_str().ok_or(Fault::Malformed);
        let room = || RoomName::parse(string("room")?);
        match string("type")? {
            "hello" => Ok(Self::Hello { name: parse_name(string("name")?)? }),
            "enter" => Ok(Self::Enter { room: room()?, from: parse_position(&fields["from"])? }),
            "leave" => Ok(Self::Leave { room: room()? }),
            "say" => {
                let reference = string("ref")?;
                if reference.len() > MAX_REFERENCE {
                    return Err(Fault::Malformed);
                }
                Ok(Self::Say {
                    room: room()?,
                    text: parse_text(string("text")?)?,
                    reference: reference.to_owned(),
                })
            }
            "typing" => {
                Ok(Self::Typing { room: room()?, on: fields["on"].as_bool().ok_or(Fault::Malformed)? })
            }
            "ping" => Ok(Self::Ping),
            _ => Err(Fault::Malformed),
        }
    }
}

impl RoomName {
    fn parse(name: &str) -> Result<Self, Fault> {
        let is_word = |word: &str| {
            let is_small = |char: char| char.is_alphanumeric() && !char.is_uppercase() && !is_hidden(char);
            !word.is_empty() && word.chars().all(is_small)
        };
        if name.chars().count() > MAX_ROOM || !name.split(['-', '_']).all(is_word) {
            return Err(Fault::Refused(format!(
                "A room's name has at most {MAX_ROOM} small letters and digits, with single hyphens between them."
            )));
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse_name(name: &str) -> Result<String, Fault> {
    let name = name.trim();
    let is_seen = |char: char| !char.is_whitespace() && !is_joiner(char);
    if !name.chars().any(is_seen) || name.chars().any(|char| char.is_control() || is_hidden(char)) {
        return Err(Fault::Refused("Please choose a name of visible characters.".to_owned()));
    }
    if name.chars().count() > MAX_NAME {
        return Err(Fault::Refused(format!("A name has at most {MAX_NAME} characters.")));
    }
    Ok(name.to_owned())
}

/// Whether a character has no shape of its own, or changes the direction of the text around it. With these, a name
/// would be invisible, or look like that of another visitor.
const fn is_hidden(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character only joins or varies those beside it, as in many emoji.
const fn is_joiner(char: char) -> bool {
    matches!(char, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

fn parse_text(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::Refused("The message is empty.".to_owned()));
    }
    if text.chars().count() > MAX_TEXT {
        return Err(Fault::Refused(format!("A message has at most {MAX_TEXT} characters.")));
    }
    Ok(text.to_owned())
}

fn parse_position(from: &Value) -> Result<Option<Position>, Fault> {
    match from {
        Value::Null => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|_| Fault::Malformed),
        _ => Err(Fault::Malformed),
    }
}

/// The reference in a command that is refused, so that the page knows which message was meant.
pub(crate) fn refused(command: &str, why: &str, wait_ms: Option<u128>) -> String {
    let fields: Value = serde_json::from_str(command).unwrap_or_default();
    let wait = wait_ms.map_or(Value::Null, |wait| json!(u64::try_from(wait).unwrap_or(u64::MAX)));
    json!({ "type": "refused", "room": fields["room"], "ref": fields["ref"], "why": why, "wait": wait })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn commands_are_read() {
        let from = Some(Position { epoch: 5, offset: 17 });
        for (text, command) in [
            (r#"{"type":"hello","name":" Ada "}"#, Command::Hello { name: "Ada".to_owned() }),
            (r#"{"type":"hello","name":"👩‍💻 ❤️"}"#, Command::Hello { name: "👩‍💻 ❤️".to_owned() }),
            (r#"{"type":"enter","room":"a"}"#, Command::Enter { room: room("a"), from: None }),
            (r#"{"type":"enter","room":"a-1","from":"5-17"}"#, Command::Enter { room: room("a-1"), from }),
            (r#"{"type":"typing","room":"é","on":true}"#, Command::Typing { room: room("é"), on: true }),
            (r#"{"type":"ping"}"#, Command::Ping),
        ] {
            assert_eq!(Command::parse(text), Ok(command));
        }
    }

    #[test]
    fn what_a_page_never_sends_is_malformed() {
        for text in [
            "",
            "1",
            "{}",
            r#"{"type":"dance"}"#,
            r#"{"type":"enter"}"#,
            r#"{"type":"enter","room":"a","from":"x"}"#,
            r#"{"type":"enter","room":"a","from":1}"#,
            r#"{"type":"typing","room":"a"}"#,
            &format!(r#"{{"type":"say","room":"a","text":"b","ref":"{}"}}"#, "r".repeat(41)),
        ] {
            assert_eq!(Command::parse(text), Err(Fault::Malformed), "{text}");
        }
    }

    #[test]
    fn what_a_visitor_may_have_typed_is_refused_with_a_reason() {
        for text in [
            json!({ "type": "hello", "name": "" }),
            json!({ "type": "hello", "name": "a\u{202e}b" }),
            json!({ "type": "hello", "name": "\u{200b}" }),
            json!({ "type": "hello", "name": "Ada\u{200b}" }),
            json!({ "type": "hello", "name": "\u{200d}\u{fe0f}" }),
            json!({ "type": "hello", "name": "\u{2800}" }),
            json!({ "type": "hello", "name": "Ada\u{2028}Ben" }),
            json!({ "type": "enter", "room": "\u{3164}" }),
            json!({ "type": "hello", "name": "n".repeat(25) }),
            json!({ "type": "enter", "room": "Lobby" }),
            json!({ "type": "enter", "room": "a--b" }),
            json!({ "type": "enter", "room": "r".repeat(25) }),
            json!({ "type": "say", "room": "a", "ref": "1", "text": "\n" }),
            json!({ "type": "say", "room": "a", "ref": "1", "text": "t".repeat(2_001) }),
        ] {
            assert!(matches!(Command::parse(&text.to_string()), Err(Fault::Refused(_))), "{text}");
        }
    }
}
