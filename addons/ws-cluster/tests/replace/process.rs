//! Server processes that inherit a listener, as a service manager passes it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process of the example `replaceable`. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) health: SocketAddr,
}

impl Process {
    /// Starts it and waits until it listens.
    pub(crate) fn start(listener: &TcpListener, options: &[&str]) -> Self {
        // `cargo test` builds the examples next to the folder of this test.
        let tests = std::env::current_exe().unwrap();
        let example = tests.parent().unwrap().with_file_name("examples").join("replaceable");
        let shell = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", shell]).arg(&example).args(options);
        command.stdin(OwnedFd::from(listener.try_clone().unwrap())).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let health = line.trim_end().rsplit_once(' ').and_then(|(_, addr)| addr.parse().ok());
        let health = health.unwrap_or_else(|| panic!("{}: {line:?}; build the examples", example.display()));
        Self { child, stdout, health }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_raw(self.id() as i32).unwrap(), Signal::TERM).expect("it runs");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it ends, and returns what it printed last.
    pub(crate) async fn end(mut self, limit: Duration) -> String {
        let start = Instant::now();
        while !self.has_ended() {
            assert!(start.elapsed() < limit, "the process does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.child.wait().unwrap().success());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if the process has already ended, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
