//! Servers in this process, and the binary as a child process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use ws_server::{OriginPolicy, Request, Server, ServerBuilder, WebSocket};

/// A child that takes longer has hung.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) type Ws = WebSocket<ws_server::ServerStream>;

/// Serves connections on a thread of its own until the process ends. Returns the address.
pub(crate) fn serve<F, Fut>(builder: ServerBuilder, serve: F) -> SocketAddr
where
    F: Fn(Ws, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sender, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = builder.origin(OriginPolicy::Any).bind("127.0.0.1:0").await.unwrap();
            sender.send(server.local_addr().unwrap()).unwrap();
            server.serve(serve).await;
        });
    });
    address.recv().unwrap()
}

/// Sends each message back.
pub(crate) async fn echo(mut ws: Ws, _: Request) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

/// The URL of an echo server with compression.
pub(crate) fn echo_server() -> String {
    let builder = Server::builder().deflate(Some(ws_server::DeflateConfig::server()));
    format!("ws://{}/", serve(builder, echo))
}

/// The binary with these arguments, without the environment's proxies.
pub(crate) fn ws(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ws"));
    command.args(args);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The standard output of a child that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// Checks the exit code and that the only line of the error begins with `ws: ` and has these parts.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let line = self.stderr.lines().next().unwrap_or_default();
        assert!(line.starts_with("ws: ") && parts.iter().all(|part| line.contains(part)), "{self:?}");
    }
}

/// Runs the binary with this input to its end.
pub(crate) fn run(args: &[&str], input: &[u8]) -> Ended {
    let output = run_bytes(&mut ws(args), input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub(crate) fn run_bytes(command: &mut Command, input: &[u8]) -> std::process::Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A child that does not read its input is not a failure.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let watch = watchdog(child.id());
    let output = child.wait_with_output().unwrap();
    drop(watch);
    writer.join().unwrap();
    output
}

/// Kills a child that has hung. Dropping the guard ends the watch.
pub(crate) fn watchdog(id: u32) -> mpsc::Sender<()> {
    let (guard, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("the child hangs");
            signal(id, "KILL");
        }
    });
    guard
}

/// Sends a signal to a child.
pub(crate) fn signal(id: u32, name: &str) {
    let signal = match name {
        "KILL" => rustix::process::Signal::KILL,
        "INT" => rustix::process::Signal::INT,
        "TERM" => rustix::process::Signal::TERM,
        _ => panic!("unknown signal {name}"),
    };
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

/// A child that does not outlive its test.
pub(crate) struct Reaped(pub(crate) Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child that runs while the test talks to it.
pub(crate) struct Running {
    child: Reaped,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: thread::JoinHandle<String>,
    stderr_lines: mpsc::Receiver<String>,
    _watch: mpsc::Sender<()>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = ws(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, stderr_lines) = mpsc::channel();
        let stderr = thread::spawn(move || {
            let mut all = String::new();
            let mut line = String::new();
            while stderr.read_line(&mut line).unwrap_or(0) > 0 {
                all.push_str(&line);
                let _ = sender.send(std::mem::take(&mut line));
            }
            all
        });
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr,
            stderr_lines,
            _watch: watchdog(child.id()),
            child: Reaped(child),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of the standard output, without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// The next line of the standard error that begins with `start`; returns what follows.
    pub(crate) fn error_line(&self, start: &str) -> String {
        loop {
            let line = self.stderr_lines.recv().expect("the line comes before the end");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim_end().to_owned();
            }
        }
    }

    /// Closes its input and output, and waits for its end.
    pub(crate) fn drop_output(mut self) -> i32 {
        drop(self.stdout);
        let code = self.child.0.wait().unwrap().code().unwrap();
        drop(self.stdin.take());
        code
    }

    /// Waits until at least so many bytes are in the pipe of the output. A pipe holds 64 KiB.
    pub(crate) fn wait_until_output_waits(&self, bytes: u64) {
        while rustix::io::ioctl_fionread(self.stdout.get_ref()).unwrap() < bytes {
            thread::yield_now();
        }
    }

    /// The exit code, without a look at the output.
    pub(crate) fn code(&mut self) -> i32 {
        self.child.0.wait().unwrap().code().unwrap_or(-1)
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        let code = self.child.0.wait().unwrap().code().unwrap_or(-1);
        Ended { code, stdout, stderr: self.stderr.join().unwrap() }
    }
}

/// What a server saw, for the test to wait for.
pub(crate) fn log<T: Send + 'static>() -> (Arc<dyn Fn(T) + Send + Sync>, Log<T>) {
    let (sender, receiver) = mpsc::channel();
    (Arc::new(move |item| drop(sender.send(item))), Log(receiver))
}

pub(crate) struct Log<T>(mpsc::Receiver<T>);

impl<T> Log<T> {
    pub(crate) fn next(&self) -> T {
        self.0.recv_timeout(DEADLINE).expect("the server sees it")
    }
}

/// A folder for the files of a test, which is removed at its end.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ws-cli-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
