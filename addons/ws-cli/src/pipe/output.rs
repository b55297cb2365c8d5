//! Writes received messages to the standard output.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use ws_client::{CloseInfo, Message};

use crate::{
    cli::FramingArgs,
    escape,
    record::{Direction, Event, Line},
};

pub(super) struct Output {
    stdout: BufWriter<Stdout>,
    framing: FramingArgs,
    prints: bool,
    /// Control characters are escaped on a terminal.
    is_terminal: bool,
    is_dirty: bool,
}

impl Output {
    pub(super) fn new(framing: FramingArgs, prints: bool) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Self { stdout: BufWriter::new(stdout), framing, prints, is_terminal, is_dirty: false }
    }

    /// Whether something is written and not flushed.
    pub(super) const fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.is_dirty = false;
        self.stdout.flush()
    }

    pub(super) fn message(&mut self, message: Message) -> io::Result<()> {
        if !self.prints {
            return Ok(());
        }
        self.is_dirty = true;
        if self.framing.jsonl {
            let line = Line::now(Direction::In, Event::Message(message)).encode();
            return writeln!(self.stdout, "{line}");
        }
        if self.is_terminal {
            let text = message.as_text().map_or_else(|| escape::hex(message.as_bytes()), escape::lines);
            return writeln!(self.stdout, "{text}");
        }
        let bytes = message.as_bytes();
        if self.framing.length_prefixed {
            let len =
                u32::try_from(bytes.len()).map_err(|_| io::Error::other("a message is longer than 4 GiB"))?;
            self.stdout.write_all(&len.to_be_bytes())?;
        }
        self.stdout.write_all(bytes)?;
        match self.framing {
            FramingArgs { null: true, .. } => self.stdout.write_all(b"\0"),
            FramingArgs { length_prefixed: true, .. } | FramingArgs { whole: true, .. } => Ok(()),
            _ => self.stdout.write_all(b"\n"),
        }
    }

    /// Ends the output. As JSON lines, the last line is the Close.
    pub(super) fn end(&mut self, info: &CloseInfo) -> io::Result<()> {
        if self.prints && self.framing.jsonl {
            let close = Event::Close { code: info.code(), reason: info.reason().to_owned() };
            writeln!(self.stdout, "{}", Line::now(Direction::In, close).encode())?;
        }
        self.flush()
    }
}
