//! A script that runs beside the test.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{self, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout_at};

/// The limit of each wait. It is longer than the scripts' own limits, so that their message comes first.
const DEADLINE: Duration = Duration::from_secs(60);

enum Output {
    Line(String),
    Error(String),
}

/// A running script. Dropping it kills it.
///
/// It is a `std` process with a thread for each pipe. tokio's processes keep descriptors open for the next process, and
/// the leak check would report those.
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
    /// When nothing arrives in time.
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
    /// When none arrives.
    pub async fn line(&mut self) -> String {
        match self.next_line().await {
            Some(line) => line,
            None => self.fail("has ended too early"),
        }
    }

    /// Checks that the next line is `expected`.
    ///
    /// # Panics
    /// When it is another one.
    pub async fn expect_line(&mut self, expected: &str) {
        let line = self.line().await;
        assert_eq!(line, expected, "{}", self.name);
    }

    /// Waits until a client ends, and checks that all its checks passed.
    ///
    /// # Panics
    /// When one of them failed.
    pub async fn expect_ok(self) {
        if let Err(failure) = self.outcome().await {
            panic!("{failure}");
        }
    }

    /// Waits until a client ends.
    ///
    /// # Errors
    /// The client's report of the checks that failed.
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

    /// Closes a server's stdin, at which it ends, and waits for that. Returns the lines that the test has not read. A
    /// server also ends in this way when the test's process dies.
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

    /// Waits for the exit status. Its pipes have ended, so it ends soon.
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
        // Both fail if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends each line of the pipe until the pipe ends or the receiver is dropped.
fn forward(pipe: impl Read + Send + 'static, to: UnboundedSender<Output>, kind: fn(String) -> Output) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if to.send(kind(line)).is_err() {
                return;
            }
        }
    });
}
