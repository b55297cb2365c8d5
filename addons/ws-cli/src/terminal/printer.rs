//! Prints above the line that is being edited.
//!
//! rustyline has a printer of its own. With it, version 18 does not notice keys that arrive together until the next key
//! is pressed.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use unicode_width::UnicodeWidthStr as _;

/// What precedes a line.
pub(super) const PROMPT: &str = "> ";

/// The line on the screen, and the place of the cursor in it, in bytes.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) cursor: usize,
}

/// The line that is being edited, if one is.
pub(super) type Edited = Arc<Mutex<Option<Line>>>;

pub(super) struct Printer {
    edited: Edited,
}

impl Printer {
    pub(super) const fn new(edited: Edited) -> Self {
        Self { edited }
    }

    /// Prints whole lines.
    pub(super) fn print(&self, text: &str) {
        // The lock keeps the editor from drawing in between.
        let edited = self.edited.lock().unwrap_or_else(PoisonError::into_inner);
        let output = match &*edited {
            Some(line) => redraw(text, line, columns()),
            None => text.to_owned(),
        };
        let mut stdout = io::stdout().lock();
        // A terminal that is gone also ends the input.
        let _ = stdout.write_all(output.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// The text in place of the line, and the line below it, with the cursor where it was.
fn redraw(text: &str, line: &Line, columns: usize) -> String {
    let before = PROMPT.width() + line.text.get(..line.cursor).unwrap_or(&line.text).width();
    let all = PROMPT.width() + line.text.width();
    let mut output = up(before / columns);
    output.push_str("\r\x1b[J");
    output.push_str(text);
    output.push_str(PROMPT);
    output.push_str(&line.text);
    if all.is_multiple_of(columns) {
        // The terminal wraps only with the next character.
        output.push('\n');
    }
    output.push_str(&up(all / columns - before / columns));
    output.push('\r');
    let column = before % columns;
    if column > 0 {
        let _ = write!(output, "\x1b[{column}C");
    }
    output
}

fn up(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\x1b[{rows}A") }
}

fn columns() -> usize {
    #[cfg(unix)]
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    #[cfg(not(unix))]
    let size: Option<usize> = None;
    size.filter(|columns| *columns > 0).unwrap_or(80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_and_its_cursor_come_back_below_the_text() {
        let line = |text: &str, cursor| Line { text: text.to_owned(), cursor };
        assert_eq!(redraw("hi\n", &line("", 0), 80), "\r\x1b[Jhi\n> \r\x1b[2C");
        assert_eq!(redraw("hi\n", &line("abc", 1), 80), "\r\x1b[Jhi\n> abc\r\x1b[3C");
        // The line has two rows, and the cursor is in the second one.
        assert_eq!(redraw("hi\n", &line("abcdefghi", 9), 10), "\x1b[1A\r\x1b[Jhi\n> abcdefghi\r\x1b[1C");
        // The cursor is in the first row of two.
        assert_eq!(redraw("hi\n", &line("abcdefghi", 0), 10), "\r\x1b[Jhi\n> abcdefghi\x1b[1A\r\x1b[2C");
        // Wide characters have two columns.
        assert_eq!(redraw("hi\n", &line("日本", 6), 80), "\r\x1b[Jhi\n> 日本\r\x1b[6C");
    }
}
