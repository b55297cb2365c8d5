//! A nats-server of a test.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;

/// How long anything may take. Tests wait for events, so this only ends a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct NatsServer {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server with JetStream. `None` if it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("jetstream { store_dir: STORE }")
    }

    /// Starts a server with a configuration, in which `STORE` stands for a folder of its own.
    pub(crate) fn start_with(config: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let program = program()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ws-cluster-nats-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for _ in 0..10 {
            let port = e2e_tests::free_port();
            let store = folder.join("store");
            let config = config.replace("STORE", &format!("{:?}", store.to_str().unwrap()));
            fs::write(folder.join("nats.conf"), format!("listen: \"127.0.0.1:{port}\"\n{config}\n")).unwrap();
            let mut server = Self { program: program.clone(), folder: folder.clone(), port, child: None };
            if server.run() {
                return Some(server);
            }
        }
        panic!("nats-server does not start: {}", fs::read_to_string(folder.join("log")).unwrap_or_default());
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, with what it has stored.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "nats-server does not start again");
    }

    /// Starts it again, with an empty store.
    pub(crate) fn restart_empty(&mut self) {
        self.kill();
        fs::remove_dir_all(self.folder.join("store")).unwrap();
        assert!(self.run(), "nats-server does not start again");
    }

    /// Stops it. When this returns, none of its threads runs.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
        let end = Instant::now() + PATIENCE;
        while !self.is_stopped() {
            assert!(Instant::now() < end, "nats-server does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Calls JetStream's API, as an administrator would.
    pub(crate) async fn api(&self, call: &str, request: &str) -> Value {
        let client = async_nats::connect(self.url()).await.unwrap();
        let request = Bytes::copy_from_slice(request.as_bytes());
        let answer = client.request(format!("$JS.API.{call}"), request).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Whether all threads are stopped. Linux tells; other systems stop a process before `kill` returns, or nearly.
    fn is_stopped(&self) -> bool {
        let folder = format!("/proc/{}/task", self.child.as_ref().unwrap().id());
        let Ok(mut threads) = fs::read_dir(folder) else { return true };
        threads.all(|thread| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            // The state follows the name, which is in parentheses.
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        })
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Returns whether it accepts connections. It does not if another process has taken the port.
    fn run(&mut self) -> bool {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        // `kill` waits for it.
        let child = self.child.insert(child);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if child.try_wait().unwrap().is_some() {
                self.child = None;
                return false;
            }
            if is_ready(self.port) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        false
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a NATS server answers on this port.
fn is_ready(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
}

fn program() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("WS_NATS_SERVER") {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers/nats/usr/sbin");
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into(), installed]);
    let found = folders.map(|folder| folder.join("nats-server")).find(|program| program.is_file());
    if found.is_none() {
        let message = "nats-server is not installed (bash e2e-tests/peers/setup.sh)";
        let required = std::env::var_os("WS_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{message}");
        // Not `eprintln!`: the test runner captures it.
        let _ = writeln!(std::io::stderr(), "skipped: {message}");
    }
    found
}
