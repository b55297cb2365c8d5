//! Starts and observes the programs of this crate.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const ECHO_SERVER: &str = env!("CARGO_BIN_EXE_echo-server");
pub(crate) const ECHO_CLIENT: &str = env!("CARGO_BIN_EXE_echo-client");
pub(crate) const REVERSE_PROXY: &str = env!("CARGO_BIN_EXE_reverse-proxy");
pub(crate) const JSON_RPC: &str = env!("CARGO_BIN_EXE_json-rpc");
#[cfg(target_os = "linux")]
pub(crate) const MARKET_DATA: &str = env!("CARGO_BIN_EXE_market-data");
pub(crate) const BLOCKING_ECHO: &str = env!("CARGO_BIN_EXE_blocking-echo");
#[cfg(target_os = "linux")]
pub(crate) const SOCKET_ACTIVATION: &str = env!("CARGO_BIN_EXE_socket-activation");
pub(crate) const POLLING_ECHO: &str = env!("CARGO_BIN_EXE_polling-echo");

/// Deadline for each wait. A wait that reaches it fails the test.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills the process.
pub(crate) struct Program {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

/// The exit status and the output of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts a program whose standard output is piped.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut process = command.spawn().expect("cargo has built the program");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, stdout }
    }

    /// Starts a server and returns its address, which follows `prefix` in the first line that the server
    /// prints.
    pub(crate) fn server(program: &str, args: &[&str], prefix: &str) -> (Self, String) {
        let mut server = Self::start(program, args);
        let mut line = String::new();
        server.stdout.read_line(&mut line).unwrap();
        let Some(addr) = line.trim_end().strip_prefix(prefix) else {
            panic!("{line:?}: {:?}", server.stderr())
        };
        let addr = addr.to_owned();
        (server, addr)
    }

    /// An echo server on a free port, and its address.
    pub(crate) fn echo_server(args: &[&str]) -> (Self, String) {
        Self::server(ECHO_SERVER, &[&["--listen", "127.0.0.1:0"], args].concat(), "listening on ws://")
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id() as i32).unwrap();
        kill_process(pid, signal).expect("the program is running");
    }

    /// Reads the next line of its standard output, which is empty after the last one.
    #[cfg(target_os = "linux")]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.truncate(line.trim_end().len());
        line
    }

    /// Kills it, without a chance to say anything, and waits for its end.
    #[cfg(target_os = "linux")]
    pub(crate) async fn kill(self) {
        self.signal(Signal::KILL);
        self.end().await;
    }

    /// Waits until the program ends.
    pub(crate) async fn end(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < DEADLINE, "the program does not end");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        Ended { status, stdout, stderr: self.stderr() }
    }

    /// Everything that the program wrote to standard error, if that is piped. Waits until the program ends.
    fn stderr(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            stderr.read_to_string(&mut text).unwrap();
        }
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail if the process has already ended, which is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program until it ends.
pub(crate) async fn run(program: &str, args: &[&str]) -> Ended {
    Program::start(program, args).end().await
}

impl Ended {
    /// Asserts the exit status and the output.
    pub(crate) fn assert(&self, status: i32, stdout: &str, stderr: &str) {
        let found = (self.status.code(), self.stdout.as_str(), self.stderr.as_str());
        assert_eq!(found, (Some(status), stdout, stderr));
    }
}
