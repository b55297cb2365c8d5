//! What the terminal shows. Everything that comes from the peer is escaped.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ws_client::Message;

use super::{json, printer::Printer};
use crate::escape;

pub(super) struct Screen {
    pub(super) printer: Printer,
    pub(super) has_colour: bool,
    pub(super) indents_json: bool,
    pub(super) timestamps: bool,
}

const RECEIVED: &str = "\x1b[32m";
const NOTE: &str = "\x1b[2m";
const FAULT: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

impl Screen {
    pub(super) fn received(&mut self, message: &Message) {
        let text = match message.as_text() {
            Some(text) => {
                let indented = self.indents_json.then(|| json::indented(text)).flatten();
                escape::lines(indented.as_deref().unwrap_or(text))
            }
            None => format!("binary, {} bytes: {}", message.len(), escape::hex(message.as_bytes())),
        };
        // A line of the peer's must not look like one of `ws` or of the user, so every further line is indented.
        let text = text.replace('\n', "\n  ");
        let time = if self.timestamps { clock() } else { String::new() };
        self.print(RECEIVED, &format!("< {time}"), &text);
    }

    /// Something that `ws` says about the connection.
    pub(super) fn note(&mut self, text: &str) {
        self.print(NOTE, "* ", &escape::line(text));
    }

    pub(super) fn fault(&mut self, text: &str) {
        self.print(FAULT, "! ", &escape::line(text));
    }

    pub(super) fn help(&mut self, text: &str) {
        for line in text.lines() {
            self.note(line);
        }
    }

    pub(super) fn round_trip(&mut self, time: Duration) {
        self.note(&format!("pong after {}", millis(time)));
    }

    fn print(&mut self, colour: &str, mark: &str, text: &str) {
        let line = if self.has_colour {
            format!("{colour}{mark}{RESET}{text}\n")
        } else {
            format!("{mark}{text}\n")
        };
        self.printer.print(&line);
    }
}

/// A duration in milliseconds, with three digits after the point.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// The time of day in UTC.
fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}Z ", now.subsec_millis())
}
