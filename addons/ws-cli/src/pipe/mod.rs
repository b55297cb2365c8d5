//! A connection whose input and output are a pipe or a file.

mod input;
mod output;
mod upload;

use std::{future::ready, io, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use ws_client::{CloseCode, CloseInfo, Message, Sender, WebSocket};

use crate::{
    cli::{FramingArgs, values::Limit},
    connect::{Session, Transport, interrupted, sleep},
    exit::{Code, Failure, Outcome, of_close},
    record::{Direction, Event, Line, Recorder},
};
pub(crate) use input::stdin;
use output::Output;
use upload::Ended;

/// The silence after the input's end once there are as many answers as messages.
const LINGER_ANSWERED: Duration = Duration::from_secs(1);
/// The same while answers are missing.
const LINGER_UNANSWERED: Duration = Duration::from_secs(5);
/// The time to close after an interrupt.
pub(crate) const INTERRUPTED_GRACE: Duration = Duration::from_secs(1);

/// The time in which an upload notices that the connection is over.
const UPLOAD_GRACE: Duration = Duration::from_millis(100);

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
    session: Session,
    input: Option<mpsc::Receiver<Outcome<Event>>>,
    options: Options,
) -> Outcome {
    let mut ws = session.ws;
    let sender = ws.sender();
    let upload =
        input.map(|input| tokio::spawn(upload::run(input, sender.clone(), options.recorder.clone())));
    let mut pipe = Pipe {
        sender,
        output: Output::new(options.framing, options.prints),
        recorder: options.recorder,
        count: options.count,
        linger: options.linger,
        received: 0,
        sent: None,
        close_at: None,
        asked: false,
        too_late: false,
    };
    let result = pipe.run(&mut ws, upload, options.timeout, options.duration).await;
    if result.is_err() {
        // The peer learns of the end, also after a local failure.
        pipe.sender.close(CloseCode::NORMAL, "");
        let _ = tokio::time::timeout(INTERRUPTED_GRACE, async { while ws.recv().await.is_some() {} }).await;
    }
    result
}

struct Pipe {
    sender: Sender,
    output: Output,
    recorder: Option<Recorder>,
    count: Option<u64>,
    linger: Option<Limit>,
    received: u64,
    /// The number of messages, once the input has ended.
    sent: Option<u64>,
    /// When the silence after the input's end is long enough.
    close_at: Option<Instant>,
    /// Whether this side has what it wanted, and closes.
    asked: bool,
    /// Whether the connection closed before the input's end.
    too_late: bool,
}

impl Pipe {
    async fn run(
        &mut self,
        ws: &mut WebSocket<Transport>,
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
                message = ws.recv() => {
                    let Some(message) = message else { break };
                    self.message(message)?;
                }
                // Nothing else is ready: what was written goes out now.
                () = ready(()), if self.output.is_dirty() => {
                    let flushed = self.output.flush();
                    self.written(flushed)?;
                }
                () = sleep_until(self.close_at.unwrap_or_else(Instant::now)), if self.close_at.is_some() => {
                    self.close();
                }
            }
        }
        // A send that the end has interrupted is reported at once; an input that is only open says nothing.
        if upload.is_some()
            && !self.asked
            && let Ok(ended) = tokio::time::timeout(UPLOAD_GRACE, joined(&mut upload)).await
        {
            self.input_ended(ended?);
        }
        let info = ws.close_info();
        self.end(info.as_ref())
    }

    fn message(&mut self, message: Message) -> Outcome {
        if self.count.is_some_and(|count| self.received >= count) {
            return Ok(());
        }
        self.received += 1;
        self.restart_linger();
        if let Some(recorder) = &self.recorder {
            recorder.write(&Line::now(Direction::In, Event::Message(message.clone())))?;
        }
        let is_last = self.count == Some(self.received);
        if is_last {
            self.close();
        }
        let written = self.output.message(message);
        self.written(written)
    }

    /// A reader that has gone, such as `head`, has what it wanted.
    fn written(&mut self, result: io::Result<()>) -> Outcome {
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.count = Some(0);
                self.close();
                Ok(())
            }
            Err(error) => Err(Failure::local("writing the output failed", &error)),
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
        let Some(sent) = self.sent.filter(|_| !self.asked) else { return };
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

    fn end(&mut self, info: Option<&CloseInfo>) -> Outcome {
        let Some(info) = info else { return Err(Failure::new(Code::Abnormal, "the connection is over")) };
        if let Some(recorder) = &self.recorder {
            let close = Event::Close { code: info.code(), reason: info.reason().to_owned() };
            recorder.write(&Line::now(Direction::In, close))?;
        }
        match self.output.end(info) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(Failure::local("writing the output failed", &error));
            }
            _ => {}
        }
        of_close(info, self.asked)?;
        if self.too_late {
            let code = crate::exit::code_and_reason(info);
            let message = format!("the server closed the connection before all input was sent: {code}");
            return Err(Failure::new(Code::Closed, message));
        }
        Ok(())
    }
}

/// The outcome of the upload.
async fn joined(upload: &mut Option<JoinHandle<Outcome<Ended>>>) -> Outcome<Ended> {
    match upload {
        Some(upload) => upload.await.unwrap_or_else(|_| Err(Failure::usage("the input failed"))),
        None => std::future::pending().await,
    }
}
