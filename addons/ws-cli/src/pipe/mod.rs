//! A connection whose input and output are a pipe or a file.

mod input;
mod output;
mod upload;

use std::{io, time::Duration};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, yield_now},
    time::{Instant, sleep_until},
};
use ws_client::{CloseCode, CloseInfo, Event as Received};

use crate::{
    cli::{FramingArgs, values::Limit},
    connect::{Link, News, Outgoing, interrupted, sleep},
    console, escape,
    events::{Direction, Event, Line, Recorder},
    exit::{Code, Failure, Outcome},
};
pub(crate) use input::stdin;
use output::{Output, Room};
use upload::Ended;

/// The silence after the input's end once there are as many answers as messages.
const LINGER_ANSWERED: Duration = Duration::from_secs(1);
/// The same while answers are missing.
const LINGER_UNANSWERED: Duration = Duration::from_secs(5);
/// The time to close when no further message is wanted.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The time in which the upload and the output do what they can still do after the end.
const LAST_TURN: Duration = Duration::from_millis(100);

pub(crate) struct Options {
    pub(crate) framing: FramingArgs,
    /// Whether messages go to the standard output.
    pub(crate) prints: bool,
    pub(crate) count: Option<u64>,
    pub(crate) linger: Option<Limit>,
    /// Ends with code 124.
    pub(crate) timeout: Option<Duration>,
    /// Ends with code 0.
    pub(crate) duration: Option<Duration>,
    pub(crate) recorder: Option<Recorder>,
}

/// Sends what `input` has and writes what arrives, until the connection is over.
pub(crate) async fn run(
    mut link: Link,
    input: Option<mpsc::Receiver<Outcome<Event>>>,
    options: Options,
) -> Outcome {
    let sender = link.sender();
    let upload =
        input.map(|input| tokio::spawn(upload::run(input, sender.clone(), options.recorder.clone())));
    let (output, output_end) = Output::new(options.framing, options.prints);
    let mut pipe = Pipe {
        sender,
        output,
        output_end,
        recorder: options.recorder,
        count: options.count,
        linger: options.linger,
        received: 0,
        is_up: matches!(link, Link::Once(_)),
        shows_close: true,
        sent: None,
        close_at: None,
        asked: false,
        give_up_at: None,
        too_late: false,
    };
    let result = pipe.run(&mut link, upload, options.timeout, options.duration).await;
    if result.is_err() {
        // The peer learns of the end, also after a local failure.
        pipe.sender.close(CloseCode::NORMAL, "");
        drain(&mut link).await;
        if pipe.output.is_open() {
            // What was received before is written, if its reader takes it.
            pipe.output.close();
            let _ = tokio::time::timeout(LAST_TURN, pipe.output_end.wait()).await;
        }
    }
    result
}

struct Pipe {
    sender: Outgoing,
    output: Output,
    output_end: output::Ended,
    recorder: Option<Recorder>,
    count: Option<u64>,
    linger: Option<Limit>,
    received: u64,
    /// Whether there is a connection.
    is_up: bool,
    /// Whether the Close is still to be shown.
    shows_close: bool,
    /// The number of messages, once the input has ended.
    sent: Option<u64>,
    /// When the silence after the input's end is long enough.
    close_at: Option<Instant>,
    /// Whether this side has what it wanted, and closes.
    asked: bool,
    /// When to stop waiting for the peer's Close. Set once no further message is wanted.
    give_up_at: Option<Instant>,
    /// Whether the connection closed before the input's end.
    too_late: bool,
}

impl Pipe {
    async fn run(
        &mut self,
        link: &mut Link,
        mut upload: Option<JoinHandle<Outcome<Ended>>>,
        timeout: Option<Duration>,
        duration: Option<Duration>,
    ) -> Outcome {
        let mut interrupt = std::pin::pin!(interrupted());
        let mut timeout_passed = std::pin::pin!(sleep(timeout));
        let mut duration_passed = std::pin::pin!(sleep(duration));
        loop {
            tokio::select! {
                biased;
                () = &mut interrupt => return Err(Failure::interrupted()),
                () = &mut timeout_passed => {
                    return Err(Failure::new(Code::Timeout, "--timeout has passed"));
                }
                () = &mut duration_passed, if !self.asked => self.close(),
                ended = joined(&mut upload), if upload.is_some() => {
                    upload = None;
                    self.input_ended(ended?);
                }
                ended = self.output_end.wait(), if self.output.is_open() => self.output_failed(ended)?,
                // Behind the Close, a fast peer may have sent more than arrives in a moment.
                () = until(self.give_up_at) => return self.end(None, Ok(())).await,
                (room, news) = next(link, &self.output, self.give_up_at.is_none()) => match news {
                    Some(News::Event(event)) => self.event(room, event)?,
                    Some(News::Up(text)) => self.is_up(&text),
                    Some(News::Away(text, info)) => self.is_away(room, &text, info)?,
                    None => break,
                },
                () = until(self.close_at) => self.close(),
            }
        }
        // A send that the end has interrupted is reported at once; an input that is only open says nothing.
        if upload.is_some()
            && !self.asked
            && let Ok(ended) = tokio::time::timeout(LAST_TURN, joined(&mut upload)).await
        {
            self.input_ended(ended?);
        }
        let (info, outcome) = (link.close_info(), link.outcome(self.asked));
        tokio::select! {
            biased;
            () = &mut interrupt => Err(Failure::interrupted()),
            ended = self.end(info, outcome) => ended,
        }
    }

    fn event(&mut self, room: Room, event: Received) -> Outcome {
        let Some(event) = Event::received(event).filter(|_| self.give_up_at.is_none()) else {
            return Ok(());
        };
        self.show(room, &event)?;
        match event {
            Event::Message(_) => self.received += 1,
            Event::Close { .. } => {
                self.shows_close = false;
                return Ok(());
            }
            Event::Ping(_) | Event::Pong(_) => return Ok(()),
        }
        self.restart_linger();
        if self.count == Some(self.received) {
            self.wants_no_more();
        }
        Ok(())
    }

    fn is_up(&mut self, text: &str) {
        console::err(format!("* {text}"));
        (self.is_up, self.shows_close) = (true, true);
        self.restart_linger();
    }

    /// Without a connection there is silence, but it says nothing.
    fn is_away(&mut self, room: Room, text: &str, info: Option<CloseInfo>) -> Outcome {
        (self.is_up, self.close_at) = (false, None);
        console::err(format!("* {}", escape::line(text)));
        let Some(info) = info.filter(|_| std::mem::take(&mut self.shows_close)) else { return Ok(()) };
        self.show(room, &close_event(&info))
    }

    /// Writes an event to the recording and to the output.
    fn show(&self, room: Room, event: &Event) -> Outcome {
        if let Some(recorder) = &self.recorder {
            recorder.write(&Line::now(Direction::In, event.clone()))?;
        }
        let encoded = self.output.encode(event).map_err(|error| output_error(&error))?;
        if let Some((room, encoded)) = room.zip(encoded) {
            room.send(encoded);
        }
        Ok(())
    }

    /// A reader that has gone, such as `head`, has what it wanted.
    fn output_failed(&mut self, result: io::Result<()>) -> Outcome {
        self.output.close();
        match result {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(output_error(&error)),
            _ => {
                self.wants_no_more();
                Ok(())
            }
        }
    }

    fn input_ended(&mut self, ended: Ended) {
        match ended {
            Ended::Sent(count) => {
                self.sent = Some(count);
                self.restart_linger();
            }
            Ended::Closed => self.asked = true,
            Ended::TooLate => self.too_late = !self.asked,
        }
    }

    /// After the input's end, the time of silence begins again with each message.
    fn restart_linger(&mut self) {
        let Some(sent) = self.sent.filter(|_| !self.asked && self.is_up) else { return };
        let silence = match self.linger {
            Some(Limit(silence)) => silence,
            None if self.count.is_some() => None,
            None if self.received >= sent => Some(LINGER_ANSWERED),
            None => Some(LINGER_UNANSWERED),
        };
        self.close_at = silence.map(|silence| Instant::now() + silence);
    }

    /// Begins to close, because this side has what it wanted. Messages still arrive until the peer's Close.
    fn close(&mut self) {
        self.asked = true;
        self.close_at = None;
        self.sender.close(CloseCode::NORMAL, "");
    }

    fn wants_no_more(&mut self) {
        self.close();
        self.give_up_at = Some(Instant::now() + CLOSE_GRACE);
    }

    /// `info` is `None` if the end was not waited for.
    async fn end(&mut self, info: Option<CloseInfo>, outcome: Outcome) -> Outcome {
        if let Some(info) = info.as_ref().filter(|_| self.shows_close) {
            // There was no Close, or it was not waited for.
            self.show(self.output.room().await, &close_event(info))?;
        }
        if self.output.is_open() {
            self.output.close();
            match self.output_end.wait().await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(output_error(&error)),
                _ => {}
            }
        }
        outcome?;
        if let Some(info) = info.filter(|_| self.too_late) {
            let code = crate::exit::code_and_reason(&info);
            let message = format!("the server closed the connection before all input was sent: {code}");
            return Err(Failure::new(Code::Closed, message));
        }
        Ok(())
    }
}

/// Waits for the peer's Close, for a short time, and drops what still arrives.
pub(crate) async fn drain(link: &mut Link) {
    let closed = async {
        while link.next().await.is_some() {
            // A single read may have thousands of messages, and the timeout needs a turn.
            yield_now().await;
        }
    };
    let _ = tokio::time::timeout(CLOSE_GRACE, closed).await;
}

fn close_event(info: &CloseInfo) -> Event {
    Event::Close { code: info.code(), reason: info.reason().to_owned() }
}

/// What happens next, once there is room for it in the output.
async fn next(link: &mut Link, output: &Output, is_wanted: bool) -> (Room, Option<News>) {
    let room = if is_wanted { output.room().await } else { None };
    if room.is_none() {
        // Without output nothing slows this down, and timers and signals need a turn.
        yield_now().await;
    }
    (room, link.next().await)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn output_error(error: &io::Error) -> Failure {
    Failure::local("writing the output failed", error)
}

/// The outcome of the upload.
async fn joined(upload: &mut Option<JoinHandle<Outcome<Ended>>>) -> Outcome<Ended> {
    match upload {
        Some(upload) => upload.await.unwrap_or_else(|_| Err(Failure::usage("the input failed"))),
        None => std::future::pending().await,
    }
}
