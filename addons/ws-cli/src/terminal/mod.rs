//! A connection whose input and output are a terminal.

mod command;
mod editor;
mod json;
mod printer;
mod screen;

use std::{
    future::pending,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use ws_client::{CloseCode, Error, Event, Message};

use crate::{
    cli::{ColorArg, SessionArgs},
    connect::{Link, News, NotSent, Outgoing, interrupted, sleep},
    console, escape,
    exit::{Code, Failure, Outcome, chain, code_and_reason},
    pipe::drain,
};
use command::Command;
use editor::Input;
use screen::Screen;
pub(crate) use screen::millis;

/// Talks to the user until the connection is over.
pub(crate) async fn run(mut link: Link, args: &SessionArgs, url: &str) -> Outcome {
    let raw_mode = RawMode::new();
    let history = (!args.no_history).then(editor::history_file).flatten();
    let (lines, printer) = editor::start(history)?;
    let (reporter, reports) = mpsc::unbounded_channel();
    let mut terminal = Terminal {
        sender: link.sender(),
        screen: Screen {
            printer,
            has_colour: has_colour(args.color),
            indents_json: args.json,
            timestamps: args.timestamps,
        },
        reporter,
        ping: None,
        asked: false,
        received: 0,
        count: args.count,
    };
    terminal.greet(&link, url);
    let result = terminal.run(&mut link, lines, reports, args.timeout).await;
    if result.is_err() {
        terminal.sender.close(CloseCode::NORMAL, "");
        drain(&mut link).await;
    }
    drop(raw_mode);
    if let Some(info) = link.close_info().filter(|_| result.is_ok()) {
        console::out(format!("* closed: {}\n", escape::line(&code_and_reason(&info))))?;
    }
    result
}

/// What became of something that was sent.
enum Report {
    /// The round-trip time of a ping, or why there is none.
    RoundTrip(Result<Duration, Error>),
    NotSent(NotSent),
}

struct Terminal {
    sender: Outgoing,
    screen: Screen,
    reporter: mpsc::UnboundedSender<Report>,
    /// The ping with a text that waits for its pong: payload and time.
    ping: Option<(Vec<u8>, Instant)>,
    asked: bool,
    received: u64,
    count: Option<u64>,
}

impl Terminal {
    fn greet(&mut self, link: &Link, url: &str) {
        // The URL may have a password.
        let url = url.rsplit_once('@').map_or(url, |(_, rest)| rest).split('?').next().unwrap_or_default();
        let Link::Once(ws) = link else {
            self.screen.note(&format!("connecting to {url}; /help lists the commands"));
            return;
        };
        let mut greeting = format!("connected to {url}");
        if let Some(name) = ws.subprotocol() {
            greeting += &format!(", subprotocol {name}");
        }
        if ws.deflate_params().is_some() {
            greeting += ", compressed";
        }
        self.screen.note(&format!("{greeting}; /help lists the commands"));
    }

    async fn run(
        &mut self,
        link: &mut Link,
        mut lines: mpsc::UnboundedReceiver<Input>,
        mut reports: mpsc::UnboundedReceiver<Report>,
        timeout: Option<Duration>,
    ) -> Outcome {
        let mut interrupt = std::pin::pin!(interrupted());
        let mut timeout_passed = std::pin::pin!(sleep(timeout));
        // One message at a time; `recv` continues while it is sent.
        let (outgoing, mut to_send) = mpsc::channel::<Message>(1);
        let (sender, reporter) = (self.sender.clone(), self.reporter.clone());
        tokio::spawn(async move {
            while let Some(message) = to_send.recv().await {
                if let Err(why) = sender.send(message).await {
                    // The session may be over.
                    let _ = reporter.send(Report::NotSent(why));
                    if why == NotSent::Over {
                        return;
                    }
                }
            }
        });
        loop {
            tokio::select! {
                biased;
                () = &mut interrupt => return Err(Failure::interrupted()),
                () = &mut timeout_passed => {
                    return Err(Failure::new(Code::Timeout, "--timeout has passed"));
                }
                Some(report) = reports.recv() => self.report(report),
                (room, input) = line(&mut lines, &outgoing) => match input {
                    Input::Line(line) => {
                        if let Some(message) = self.line(&line) {
                            room.send(message);
                        }
                    }
                    Input::End => self.close(CloseCode::NORMAL, ""),
                    Input::Interrupt => return Err(Failure::interrupted()),
                },
                news = link.next() => match news {
                    Some(News::Event(Event::Message(message))) => self.message(&message),
                    Some(News::Event(Event::Pong(payload))) => self.pong(&payload),
                    Some(News::Event(_)) => {}
                    Some(News::Up(text)) => self.screen.note(&text),
                    Some(News::Away(text, _)) => self.screen.fault(&text),
                    None => break,
                },
            }
        }
        link.outcome(self.asked)
    }

    fn message(&mut self, message: &Message) {
        self.screen.received(message);
        self.received += 1;
        if self.count == Some(self.received) {
            self.close(CloseCode::NORMAL, "");
        }
    }

    /// Does what a line says. Returns what is to be sent.
    fn line(&mut self, line: &str) -> Option<Message> {
        match command::parse(line) {
            Ok(Command::Send(message)) => return Some(message),
            Ok(Command::SendFile(path)) => match std::fs::read(&path) {
                Ok(bytes) => {
                    self.screen.note(&format!("sending {} bytes", bytes.len()));
                    return Some(
                        String::from_utf8(bytes)
                            .map_or_else(|error| Message::binary(error.into_bytes()), Message::text),
                    );
                }
                Err(error) => self.screen.fault(&format!("{path}: {error}")),
            },
            Ok(Command::Ping(payload)) => self.send_ping(payload),
            Ok(Command::Close(code, reason)) => self.close(code, &reason),
            Ok(Command::ToggleJson) => {
                self.screen.indents_json = !self.screen.indents_json;
                let state = if self.screen.indents_json { "on" } else { "off" };
                self.screen.note(&format!("the indentation of JSON is {state}"));
            }
            Ok(Command::Help) => self.screen.help(command::HELP),
            Err(why) => self.screen.fault(&why),
        }
        None
    }

    /// Sends a ping. The pong of one with a text is recognized by the text.
    fn send_ping(&mut self, payload: Vec<u8>) {
        if payload.is_empty() {
            let (sender, reporter) = (self.sender.clone(), self.reporter.clone());
            tokio::spawn(async move {
                // The session may be over.
                let _ = reporter.send(Report::RoundTrip(sender.ping_rtt().await));
            });
            return;
        }
        if matches!(self.sender, Outgoing::Again(..)) {
            // The client that connects again does not report pongs.
            self.screen.fault("with --reconnect, a ping has no text");
            return;
        }
        let now = Instant::now();
        match self.sender.ping(&payload) {
            Ok(()) => self.ping = Some((payload, now)),
            Err(error) => self.screen.fault(&chain(&error)),
        }
    }

    fn pong(&mut self, payload: &[u8]) {
        if let Some((_, sent)) = self.ping.take_if(|(expected, _)| expected == payload) {
            self.screen.round_trip(sent.elapsed());
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::RoundTrip(Ok(time)) => self.screen.round_trip(time),
            Report::RoundTrip(Err(error)) => self.screen.fault(&chain(&error)),
            Report::NotSent(NotSent::Away) => self.screen.fault("not sent: there is no connection"),
            // The end of the session says why.
            Report::NotSent(NotSent::Over) => {}
        }
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        self.asked = true;
        self.sender.close(code, reason);
    }
}

/// The next line, once there is room for its message. Without a sender the connection is over, and `recv` ends.
async fn line<'a>(
    lines: &mut mpsc::UnboundedReceiver<Input>,
    outgoing: &'a mpsc::Sender<Message>,
) -> (mpsc::Permit<'a, Message>, Input) {
    let Ok(room) = outgoing.reserve().await else { return pending().await };
    match lines.recv().await {
        Some(input) => (room, input),
        None => pending().await,
    }
}

fn has_colour(colour: ColorArg) -> bool {
    match colour {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Turns off what the terminal does with keys, for as long as it lives.
///
/// The editor does that for each line. In between, a key would be echoed, and Ctrl-D would be lost. And its thread may
/// be in the middle of a line when the program ends.
struct RawMode {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl RawMode {
    #[cfg(unix)]
    fn new() -> Self {
        use rustix::termios::{InputModes, LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut mode) = before.clone() {
            mode.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
            mode.input_modes -= InputModes::ICRNL;
            // Without it, the editor still works.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &mode);
        }
        Self { before }
    }

    #[cfg(not(unix))]
    const fn new() -> Self {
        Self {}
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Drain, before);
        }
        // Ends the bracketed paste and leaves the line that was being edited.
        let _ = console::out("\x1b[?2004l\r\n");
    }
}
