//! Other implementations: Python `websockets`, npm `ws`, Chromium. `peers/README.md` describes the scripts
//! and their options; `peers/setup.sh` installs what they need.
//!
//! ```no_run
//! use e2e_tests::peers::Peer;
//! # async fn test(url: &str) {
//! for peer in Peer::ECHO {
//!     let Some(peer) = peer.find() else { continue };
//!     peer.client(url, &[]).expect_ok().await;
//! }
//! # }
//! ```

mod child;

pub use child::Child;

use crate::isolate::SKIPPED;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// If it is set to `1`, a test fails when its peer is not installed. Without it, the test is skipped.
const REQUIRE: &str = "WS_REQUIRE_PEERS";

/// Another implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Python's `websockets`.
    Python,
    /// npm's `ws`.
    Node,
    /// Chromium, driven by a node script.
    Chromium,
}

impl Peer {
    /// The peers that have an echo client and an echo server.
    pub const ECHO: [Self; 2] = [Self::Python, Self::Node];

    /// This peer if it is installed. Returns `None` if not, after a line on stderr; the test should then return.
    ///
    /// # Panics
    /// When it is not installed and `WS_REQUIRE_PEERS=1` is set.
    pub fn find(self) -> Option<Installed> {
        let found = self.installed();
        if found.is_none() {
            missing(&format!("{self:?}"));
        }
        found
    }

    fn installed(self) -> Option<Installed> {
        let installed = workspace().join(".peers");
        let node = || program_in_path("node");
        let (program, options) = match self {
            Self::Python => (existing(installed.join("python/bin/python"))?, vec![]),
            Self::Node => {
                existing(installed.join("node/node_modules/ws/package.json"))?;
                (node()?, vec![])
            }
            Self::Chromium => {
                let names = ["chromium", "chromium-browser", "google-chrome"];
                let browser = names.into_iter().find_map(program_in_path)?;
                (node()?, vec!["--browser".to_owned(), browser.to_str()?.to_owned()])
            }
        };
        Some(Installed { peer: self, program, options })
    }
}

/// Starts a program of the operating system, such as `nginx`. Returns `None` if it is not installed, after a line on
/// stderr.
///
/// # Panics
/// When it is not installed and `WS_REQUIRE_PEERS=1` is set.
pub fn program(name: &str, args: &[&str]) -> Option<Child> {
    let folders = ["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(name));
    let Some(path) = program_in_path(name).or_else(|| folders.into_iter().find_map(existing)) else {
        missing(name);
        return None;
    };
    let mut command = Command::new(path);
    command.args(args);
    Some(Child::start(name.to_owned(), command))
}

fn missing(what: &str) {
    let message = format!("{what} is not installed (bash e2e-tests/peers/setup.sh)");
    assert!(std::env::var_os(REQUIRE).as_deref() != Some(OsStr::new("1")), "{message}");
    skip(&message);
}

/// Prints on stderr that a test is skipped, and why. The harness shows this line although the test passes.
pub fn skip(reason: &str) {
    // Not `eprintln!`: the test runner captures it.
    let _ = writeln!(std::io::stderr(), "{SKIPPED}{reason}");
}

/// A peer that can be started.
#[derive(Debug, Clone)]
pub struct Installed {
    peer: Peer,
    program: PathBuf,
    options: Vec<String>,
}

impl Installed {
    /// Which peer this is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Starts the client against a server under test; see [`Child::expect_ok`]. For [`Peer::Chromium`] it tests the
    /// chat, and the URL is that of the chat's page.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn client(&self, url: &str, options: &[&str]) -> Child {
        let script = match self.peer {
            Peer::Python => "python/client.py",
            Peer::Node => "node/client.mjs",
            Peer::Chromium => "node/chat.mjs",
        };
        self.start(&peers().join(script), &[&[url], options].concat())
    }

    /// Starts a script of another crate. For [`Peer::Chromium`], `--browser PATH` comes before the other options.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn script(&self, script: &Path, options: &[&str]) -> Child {
        self.start(script, options)
    }

    /// Starts the echo server and waits until it listens. The second value is its `ws://` or `wss://` URL, without a
    /// path.
    ///
    /// # Panics
    /// When it does not start, or for [`Peer::Chromium`], which has no server.
    pub async fn server(&self, options: &[&str]) -> (Child, String) {
        let script = match self.peer {
            Peer::Python => "python/server.py",
            Peer::Node => "node/server.mjs",
            Peer::Chromium => panic!("a browser is no server"),
        };
        let mut server = self.start(&peers().join(script), options);
        let line = server.line().await;
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("unexpected line: {line}"));
        let url = url.to_owned();
        (server, url)
    }

    fn start(&self, script: &Path, options: &[&str]) -> Child {
        let mut command = Command::new(&self.program);
        command.arg(script).args(&self.options).args(options);
        // Without this, Python writes byte code of imported modules into the source tree.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Child::start(format!("{:?} {}", self.peer, script.display()), command)
    }
}

fn peers() -> PathBuf {
    workspace().join("e2e-tests/peers")
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.exists().then_some(path)
}

fn program_in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find_map(|folder| existing(folder.join(name)))
}

#[cfg(test)]
mod chat_tests;
#[cfg(test)]
mod tests;
