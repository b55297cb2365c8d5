//! Servers for tests.

use std::{
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use e2e_tests::ports::{free_port_of, is_free};
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

/// The time after which a test fails. Nothing needs that long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A `redis-server` with a folder of its own. It is killed when this value is dropped.
pub(crate) struct Server {
    folder: PathBuf,
    pub(crate) port: u16,
    args: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with these options in addition. `None`: it is not installed.
    pub(crate) async fn start(options: &[&str]) -> Option<Self> {
        Self::start_on(free_port(), options).await
    }

    pub(crate) async fn start_on(port: u16, options: &[&str]) -> Option<Self> {
        let mut server = Self::prepare(port, options)?;
        server.run().await;
        Some(server)
    }

    /// A server that does not run yet.
    pub(crate) fn prepare(port: u16, options: &[&str]) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !is_installed() {
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ws-cluster-redis-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let port_text = port.to_string();
        let folder_text = folder.to_str().unwrap();
        let usual = ["--port", &port_text, "--bind", "127.0.0.1", "--dir", folder_text, "--save", ""];
        let args = usual.iter().chain(options).map(|arg| (*arg).to_owned()).collect();
        Some(Self { folder, port, args, child: None })
    }

    /// Writes a file into the folder, and returns its path.
    #[cfg(feature = "redis-tls")]
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[cfg(feature = "redis-tls")]
    pub(crate) fn add_options(&mut self, options: &[&str]) {
        self.args.extend(options.iter().map(|option| (*option).to_owned()));
    }

    /// Makes it a sentinel with this configuration.
    pub(crate) fn be_sentinel(&mut self, configuration: &str) {
        let file = self.folder.join("sentinel.conf");
        let usual = format!("port {}\nbind 127.0.0.1\ndir {}\n", self.port, self.folder.display());
        std::fs::write(&file, usual + configuration).unwrap();
        self.args = vec![file.to_str().unwrap().to_owned(), "--sentinel".to_owned()];
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the process and waits until it answers.
    pub(crate) async fn run(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.args(&self.args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + LIMIT;
        loop {
            let child = self.child.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap();
                panic!("redis-server ended with {status}: {log}");
            }
            if let Some(mut connection) = self.try_connect().await {
                let answer = redis::cmd("PING").query_async::<redis::Value>(&mut connection).await;
                // NOAUTH is an answer too.
                if answer.is_ok() || answer.is_err_and(|error| error.code() == Some("NOAUTH")) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn try_connect(&self) -> Option<MultiplexedConnection> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(LIMIT))
            .set_response_timeout(Some(LIMIT));
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection_with_config(&config).await.ok()
    }

    /// A connection for the test's own commands.
    pub(crate) async fn admin(&self) -> MultiplexedConnection {
        self.try_connect().await.expect("the server runs")
    }

    /// Executes a command of the test.
    pub(crate) async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command
            .query_async(&mut self.admin().await)
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Waits until a replica has what was written so far. Before its first acknowledgement, after up to a second, a
    /// replica gets nothing. `key` belongs to this server.
    pub(crate) async fn wait_for_replica(&self, key: &str) {
        let mut connection = self.admin().await;
        let () = redis::cmd("SET").arg(key).arg(1).query_async(&mut connection).await.unwrap();
        let limit = LIMIT.as_millis() as u64 / 2;
        let replicas: u32 = redis::cmd("WAIT").arg(1).arg(limit).query_async(&mut connection).await.unwrap();
        assert_eq!(replicas, 1);
    }

    /// Kills the process (SIGKILL).
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the process: its connections stay open, and nothing is answered.
    pub(crate) fn suspend(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // The system cleans its folder for temporary files otherwise.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free now, and so is the one of the cluster's bus. It is none of those that the system chooses, so no
/// other socket gets it while a server is started again. A process gets each port once.
pub(crate) fn free_port() -> u16 {
    free_port_of(10_000..16_000, |port| is_free(port + 10_000))
}

fn is_installed() -> bool {
    let found =
        Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok() {
        return true;
    }
    let message = "redis-server is not installed (bash e2e-tests/peers/setup.sh)";
    assert!(std::env::var_os("WS_REQUIRE_PEERS").as_deref() != Some(OsStr::new("1")), "{message}");
    // Not `eprintln!`: the test runner captures it.
    let _ = writeln!(std::io::stderr(), "skipped: {message}");
    false
}
