//! Writes received messages to the standard output.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write as _},
    thread,
};

use tokio::sync::{
    mpsc::{self, OwnedPermit, error::TryRecvError},
    oneshot,
};
use ws_client::Message;

use crate::{
    cli::FramingArgs,
    escape,
    events::{Direction, Event, Line},
};

/// The most messages that wait for a reader of the output. Then no more are received.
const MAX_WAITING: usize = 16;

/// The output. A thread of its own writes, because a write to a full pipe cannot be interrupted.
pub(super) struct Output {
    /// `None` once the output has ended, and if nothing is to be printed.
    messages: Option<mpsc::Sender<Vec<u8>>>,
    framing: FramingArgs,
    /// Control characters are escaped on a terminal.
    is_terminal: bool,
}

/// The end of the output: it has failed, or it is complete.
pub(super) struct Ended(oneshot::Receiver<io::Result<()>>);

impl Ended {
    /// Waits until the output fails or, after [`Output::close`], is complete.
    pub(super) async fn wait(&mut self) -> io::Result<()> {
        let ended = (&mut self.0).await;
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread of the output failed")))
    }
}

/// Room for one message, or `None` if it is not printed.
pub(super) type Room = Option<OwnedPermit<Vec<u8>>>;

impl Output {
    pub(super) fn new(framing: FramingArgs, prints: bool) -> (Self, Ended) {
        let (messages, to_write) = mpsc::channel(MAX_WAITING);
        let (ended, done) = oneshot::channel();
        thread::spawn(move || {
            // After an interrupt, the receiver is gone.
            let _ = ended.send(write_all(to_write));
        });
        let is_terminal = io::stdout().is_terminal();
        (Self { messages: prints.then_some(messages), framing, is_terminal }, Ended(done))
    }

    /// Waits until there is room for a message.
    pub(super) async fn room(&self) -> Room {
        self.messages.clone()?.reserve_owned().await.ok()
    }

    /// Whether messages are printed.
    pub(super) const fn is_open(&self) -> bool {
        self.messages.is_some()
    }

    /// Prints no more.
    pub(super) fn close(&mut self) {
        self.messages = None;
    }

    /// What the output has for an event. Only JSON lines show more than messages.
    pub(super) fn encode(&self, event: &Event) -> io::Result<Option<Vec<u8>>> {
        if self.framing.jsonl {
            let line = Line::now(Direction::In, event.clone()).encode() + "\n";
            return Ok(Some(line.into_bytes()));
        }
        match event {
            Event::Message(message) => self.encode_message(message).map(Some),
            _ => Ok(None),
        }
    }

    fn encode_message(&self, message: &Message) -> io::Result<Vec<u8>> {
        let mut output = Vec::with_capacity(message.len() + 5);
        if self.is_terminal {
            let text = message.as_text().map_or_else(|| escape::hex(message.as_bytes()), escape::lines);
            writeln!(output, "{text}")?;
            return Ok(output);
        }
        let bytes = message.as_bytes();
        if self.framing.length_prefixed {
            let len =
                u32::try_from(bytes.len()).map_err(|_| io::Error::other("a message is longer than 4 GiB"))?;
            output.extend(len.to_be_bytes());
        }
        output.extend(bytes);
        match self.framing {
            FramingArgs { null: true, .. } => output.push(0),
            FramingArgs { length_prefixed: true, .. } | FramingArgs { whole: true, .. } => {}
            _ => output.push(b'\n'),
        }
        Ok(output)
    }
}

/// Writes until the sender is dropped. Messages that arrive together are written together.
fn write_all(mut messages: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout());
    loop {
        let message = match messages.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return stdout.flush(),
            Err(TryRecvError::Empty) => {
                stdout.flush()?;
                match messages.blocking_recv() {
                    Some(message) => message,
                    None => return Ok(()),
                }
            }
        };
        stdout.write_all(&message)?;
    }
}
