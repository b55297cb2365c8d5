//! The programs that are measured. A new server is one line here.

use crate::case::{Case, Role};
use crate::paths::{Builds, bench_folder};
use std::path::PathBuf;

/// The kind of a program in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Ours,
    /// Our server as it was before a change.
    Before,
    /// A Rust library in its plain `send` loop.
    Peer,
    /// A Rust library in a form that answers a batch with one write. Shown, but not the base of ratios.
    Batching,
    /// A program that does the minimum of work.
    Floor,
}

/// One program to measure.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) binary: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// The library whose version is shown after the name.
    pub(crate) library: Option<&'static str>,
    pub(crate) role: Role,
    /// It has no more cores than this, even if the case has more.
    pub(crate) max_cores: usize,
}

macro_rules! ours {
    ($api:literal) => {
        ours!($api, "1",)
    };
    ($api:literal, $shards:literal, $($more:literal),*) => {
        &[
            "--api",
            $api,
            "--shards",
            $shards,
            "--max-message-size",
            "134217728",
            "--max-connections",
            "100000",
            "--max-handshakes",
            "1024",
            $($more),*
        ]
    };
}

const fn ours(name: &'static str, group: Group, arguments: &'static [&'static str]) -> Server {
    Server {
        name,
        group,
        binary: "echo-server",
        arguments,
        library: None,
        role: Role::Echo,
        max_cores: usize::MAX,
    }
}

const fn peer(name: &'static str, binary: &'static str, library: &'static str) -> Server {
    Server {
        name,
        group: Group::Peer,
        binary,
        arguments: &[],
        library: Some(library),
        role: Role::Echo,
        max_cores: usize::MAX,
    }
}

const fn deflating(name: &'static str, binary: &'static str, library: &'static str) -> Server {
    Server { arguments: &["--deflate"], role: Role::Deflate, ..peer(name, binary, library) }
}

const fn axum(name: &'static str, group: Group, library: Option<&'static str>) -> Server {
    Server { name, group, binary: name, arguments: &[], library, role: Role::Axum, max_cores: usize::MAX }
}

const fn client(name: &'static str, group: Group, library: Option<&'static str>) -> Server {
    Server { name, group, binary: name, arguments: &[], library, role: Role::Client, max_cores: usize::MAX }
}

const fn receiver(
    name: &'static str,
    group: Group,
    binary: &'static str,
    library: Option<&'static str>,
) -> Server {
    Server { name, binary, role: Role::Receiver, ..client("", group, library) }
}

/// Our server with the options that `echo-server` does not have.
const fn own(name: &'static str, role: Role, arguments: &'static [&'static str]) -> Server {
    Server { role, binary: "server-ours", ..ours(name, Group::Ours, arguments) }
}

const fn shards(name: &'static str, shards: usize, arguments: &'static [&'static str]) -> Server {
    Server { max_cores: shards, ..own(name, Role::Shards, arguments) }
}

const fn peer_as(role: Role, name: &'static str, binary: &'static str, library: &'static str) -> Server {
    Server { role, ..peer(name, binary, library) }
}

const fn floor(name: &'static str) -> Server {
    Server {
        name,
        group: Group::Floor,
        binary: name,
        arguments: &[],
        library: None,
        role: Role::Echo,
        max_cores: usize::MAX,
    }
}

/// All servers, in the order in which they run.
pub(crate) static SERVERS: &[Server] = &[
    ours("ours-handler", Group::Ours, ours!("handler")),
    ours("before-handler", Group::Before, ours!("handler")),
    ours("ours-async", Group::Ours, ours!("async")),
    ours("before-async", Group::Before, ours!("async")),
    ours("ours-async-lent", Group::Ours, ours!("async-lent")),
    peer("fastwebsockets", "server-fastwebsockets", "fastwebsockets"),
    peer("tokio-websockets", "server-tokio-websockets", "tokio-websockets"),
    peer("sockudo-ws", "server-sockudo", "sockudo-ws"),
    peer("yawc", "server-yawc", "yawc"),
    peer("tungstenite", "server-tungstenite", "tokio-tungstenite"),
    Server {
        group: Group::Batching,
        arguments: &["--style", "forward"],
        ..peer("tungstenite-forward", "server-tungstenite", "tokio-tungstenite")
    },
    floor("floor-tokio"),
    floor("floor-epoll"),
    Server {
        name: "ours-broadcast",
        binary: "server-ours-broadcast",
        role: Role::Broadcast,
        ..ours("", Group::Ours, &[])
    },
    Server {
        name: "ours-topics",
        binary: "server-ours-topics",
        role: Role::Broadcast,
        ..ours("", Group::Ours, &[])
    },
    Server {
        name: "floor-broadcast",
        arguments: &["--broadcast"],
        role: Role::Broadcast,
        ..floor("floor-epoll")
    },
    Server {
        name: "floor-write-each",
        arguments: &["--broadcast", "--each"],
        role: Role::Broadcast,
        ..floor("floor-epoll")
    },
    Server {
        role: Role::Deflate,
        ..ours("deflate-handler", Group::Ours, ours!("handler", "1", "--deflate"))
    },
    Server { role: Role::Deflate, ..ours("deflate-async", Group::Ours, ours!("async", "1", "--deflate")) },
    deflating("deflate-sockudo-ws", "server-sockudo", "sockudo-ws"),
    deflating("deflate-yawc", "server-yawc", "yawc"),
    axum("axum-ours", Group::Ours, None),
    axum("axum-ws", Group::Peer, Some("axum")),
    axum("axum-fastwebsockets", Group::Peer, Some("fastwebsockets")),
    axum("axum-yawc", Group::Peer, Some("yawc")),
    axum("own-tasks", Group::Ours, None),
    Server { role: Role::Axum, ..ours("own-echo-server", Group::Ours, ours!("async", "0",)) },
    client("client-ours", Group::Ours, None),
    client("client-fastwebsockets", Group::Peer, Some("fastwebsockets")),
    client("client-tokio-websockets", Group::Peer, Some("tokio-websockets")),
    client("client-tungstenite", Group::Peer, Some("tokio-tungstenite")),
    receiver("receive-ours", Group::Ours, "client-ours", None),
    Server {
        arguments: &["--receive", "lent"],
        ..receiver("receive-ours-lent", Group::Ours, "client-ours", None)
    },
    Server {
        arguments: &["--receive", "events"],
        ..receiver("receive-ours-events", Group::Ours, "client-ours", None)
    },
    receiver("receive-fastwebsockets", Group::Peer, "client-fastwebsockets", Some("fastwebsockets")),
    receiver("receive-tokio-websockets", Group::Peer, "client-tokio-websockets", Some("tokio-websockets")),
    receiver("receive-tungstenite", Group::Peer, "client-tungstenite", Some("tokio-tungstenite")),
    receiver("floor-receive", Group::Floor, "floor-receive", None),
    own("workers-ours-handler", Role::Workers, &["--api", "handler"]),
    own("workers-ours-async", Role::Workers, &["--api", "async"]),
    peer_as(Role::Workers, "workers-fastwebsockets", "server-fastwebsockets", "fastwebsockets"),
    peer_as(Role::Workers, "workers-tokio-websockets", "server-tokio-websockets", "tokio-websockets"),
    peer_as(Role::Workers, "workers-sockudo-ws", "server-sockudo", "sockudo-ws"),
    peer_as(Role::Workers, "workers-yawc", "server-yawc", "yawc"),
    peer_as(Role::Workers, "workers-tungstenite", "server-tungstenite", "tokio-tungstenite"),
    shards("shards-1-handler", 1, &["--api", "handler", "--shards", "1"]),
    shards("shards-2-handler", 2, &["--api", "handler", "--shards", "2"]),
    shards("shards-1-async", 1, &["--api", "async", "--shards", "1"]),
    shards("shards-2-async", 2, &["--api", "async", "--shards", "2"]),
    Server { role: Role::Tls, ..ours("tls-handler", Group::Ours, ours!("handler")) },
    Server { role: Role::Tls, ..ours("tls-async", Group::Ours, ours!("async")) },
    peer_as(Role::Tls, "tls-fastwebsockets", "server-fastwebsockets", "fastwebsockets"),
    peer_as(Role::Tls, "tls-tokio-websockets", "server-tokio-websockets", "tokio-websockets"),
    peer_as(Role::Tls, "tls-tungstenite", "server-tungstenite", "tokio-tungstenite"),
    own("million-handler", Role::Million, &["--api", "handler", "--shards", "1"]),
    own("million-async", Role::Million, &["--api", "async", "--shards", "1"]),
    peer_as(Role::Million, "million-fastwebsockets", "server-fastwebsockets", "fastwebsockets"),
    peer_as(Role::Million, "million-tokio-websockets", "server-tokio-websockets", "tokio-websockets"),
    peer_as(Role::Million, "million-sockudo-ws", "server-sockudo", "sockudo-ws"),
    peer_as(Role::Million, "million-yawc", "server-yawc", "yawc"),
    peer_as(Role::Million, "million-tungstenite", "server-tungstenite", "tokio-tungstenite"),
    Server { name: "million-floor", role: Role::Million, ..floor("floor-tokio") },
];

/// The server that all clients are measured with.
pub(crate) const CLIENTS_SERVER: &str = "floor-epoll";

/// The source of all streams.
pub(crate) const STREAM_SOURCE: &str = "floor-stream";

impl Server {
    /// The path of its binary: in this program's folder, or for our server also in the main workspace's target folder.
    pub(crate) fn locate(&self, builds: &Builds) -> Option<PathBuf> {
        let beside = std::env::current_exe().ok()?.with_file_name(self.binary);
        if self.binary != "echo-server" && matches!(self.group, Group::Ours | Group::Before) {
            return Some(beside).filter(|path| path.is_file());
        }
        let candidates = match (self.group, &builds.ours, &builds.before) {
            (Group::Ours, Some(given), _) | (Group::Before, _, Some(given)) => vec![given.clone()],
            (Group::Before, _, None) => Vec::new(),
            (Group::Ours, None, _) => {
                vec![beside, bench_folder().join("../target/release").join(self.binary)]
            }
            _ => vec![beside],
        };
        candidates.into_iter().find(|path| path.is_file())
    }

    /// Whether this server takes part in the case, and the case shows what is special about it.
    pub(crate) fn takes_part(&self, case: &Case) -> bool {
        self.role == case.role && (self.group != Group::Batching || case.load.contains("--depth"))
    }

    /// The version of its library that was built.
    pub(crate) fn version(&self) -> Option<String> {
        let lock = std::fs::read_to_string(bench_folder().join("Cargo.lock")).ok()?;
        let entry = format!("name = \"{}\"\nversion = \"", self.library?);
        // axum depends on an older tokio-tungstenite. The lock file has the newest version last.
        let (_, rest) = lock.rsplit_once(&entry)?;
        Some(rest.split_once('"')?.0.to_owned())
    }
}
