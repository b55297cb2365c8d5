//! A Redis or a NATS server of a test.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e_tests::peers::{self, Child};

/// A running server with a folder of its own. Dropping it kills the server.
pub(crate) struct Broker {
    /// The options of `chat-server` that name it.
    pub(crate) options: [String; 2],
    _server: Child,
    _folder: Folder,
}

struct Folder(PathBuf);

impl Broker {
    /// `None` if Redis is not installed.
    pub(crate) async fn redis() -> Option<Self> {
        let folder = Folder::new("redis");
        let socket = folder.0.join("socket");
        let args = ["--port", "0", "--save", "", "--unixsocket", text(&socket), "--dir", text(&folder.0)];
        let mut server = peers::program("redis-server", &args)?;
        while !server.line().await.contains("eady to accept connections") {}
        let options = ["--redis".to_owned(), format!("unix://{}", text(&socket))];
        Some(Self { options, _server: server, _folder: folder })
    }

    /// `None` if NATS is not installed.
    pub(crate) async fn nats() -> Option<Self> {
        let folder = Folder::new("nats");
        let path = text(&folder.0);
        let args = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", path, "--ports_file_dir", path];
        let server = peers::program("nats-server", &args)?;
        let url = loop {
            // The server writes its port into a file once it listens. The deadline of the test ends the wait.
            let ports = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            let file = ports.into_iter().find(|path| path.extension().is_some_and(|end| end == "ports"));
            let ports = file.and_then(|file| fs::read(file).ok());
            let ports = ports.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
            match ports.as_ref().and_then(|ports| ports["nats"][0].as_str()) {
                Some(url) => break url.to_owned(),
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        Some(Self { options: ["--nats".to_owned(), url], _server: server, _folder: folder })
    }

    pub(crate) fn options(&self) -> [&str; 2] {
        [&self.options[0], &self.options[1]]
    }
}

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ws-chat-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
