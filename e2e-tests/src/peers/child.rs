//! A script that runs beside the test.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{self, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout_at};

/// For each wait. A little more than the scripts give themselves, so that their own message comes first.
const DEADLINE: Duration = Duration::from_secs(60);

enum Output {
    Line(String),
    Error(String),
}

/// A running script. Dropping it kills it.
///
/// It is a plain process with a thread for each of its pipes: the runtime's own way of running processes keeps
/// descriptors for the next one, which would look like a leak.
pub struct Child {
    name: String,
    process: process::Child,
    stdin: Option<ChildStdin>,
    output: UnboundedReceiver<Output>,
    errors: Vec<String>,
}

impl fmt::Debug for Child {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Child({}, process {})", self.name, self.process.id())
    }
}

impl Child {
    pub(super) fn start(name: String, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (sender, output) = unbounded_channel();
        let stdin = process.stdin.take();
        forward(process.stdout.take().expect("piped"), sender.clone(), Output::Line);
        forward(process.stderr.take().expect("piped"), sender, Output::Error);
        Self { name, process, stdin, output, errors: Vec::new() }
    }

    /// The next line of its standard output, or `None` after the last one.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn next_line(&mut self) -> Option<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match timeout_at(deadline, self.output.recv()).await {
                Ok(Some(Output::Line(line))) => return Some(line),
                Ok(Some(Output::Error(line))) => self.errors.push(line),
                Ok(None) => return None,
                Err(_) => self.fail("prints nothing"),
            }
        }
    }

    /// The next line of its standard output.
    ///
    /// # Panics
    /// When none comes.
    pub async fn line(&mut self) -> String {
        match self.next_line().await {
            Some(line) => line,
            None => self.fail("has ended too early"),
        }
    }

    /// The next line has to be this one.
    ///
    /// # Panics
    /// When it is another one.
    pub async fn expect_line(&mut self, expected: &str) {
        let line = self.line().await;
        assert_eq!(line, expected, "{}", self.name);
    }

    /// Waits until a client says that all its checks have passed, and ends.
    ///
    /// # Panics
    /// When they have not.
    pub async fn expect_ok(self) {
        if let Err(failure) = self.outcome().await {
            panic!("{failure}");
        }
    }

    /// Waits until a client ends.
    ///
    /// # Errors
    /// What it has to complain about.
    pub async fn outcome(mut self) -> Result<(), String> {
        let mut lines = Vec::new();
        while let Some(line) = self.next_line().await {
            lines.push(line);
        }
        let status = self.wait().await;
        match (status.success(), &lines[..]) {
            (true, [line]) if line == "ok" => Ok(()),
            _ => Err(self.describe(&format!("has printed {lines:?} and ended with {status}"))),
        }
    }

    /// Tells a server to end, as it does on its own when the test dies, and waits for that; returns the lines that
    /// nobody has read.
    ///
    /// # Panics
    /// When it does not end, or not with status 0.
    pub async fn stop(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let mut lines = Vec::new();
        while let Some(line) = self.next_line().await {
            lines.push(line);
        }
        let status = self.wait().await;
        if !status.success() {
            self.fail(&format!("has ended with {status}"));
        }
        lines
    }

    /// Called after its pipes have ended, so it is ending, too.
    async fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(1)).await,
                other => self.fail(&format!("does not end: {other:?}")),
            }
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{}", self.describe(what));
    }

    fn describe(&self, what: &str) -> String {
        format!("{} {what}\n{}", self.name, self.errors.join("\n"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail for a process that has ended already, which is just as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends each line of the pipe until it ends or nobody listens any more.
fn forward(pipe: impl Read + Send + 'static, to: UnboundedSender<Output>, kind: fn(String) -> Output) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if to.send(kind(line)).is_err() {
                return;
            }
        }
    });
}
