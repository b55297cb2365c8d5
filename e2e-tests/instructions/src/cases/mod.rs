//! The hot paths. Each runs for a given number of messages.

mod client;
mod handshake;
mod machine;
mod publish;
mod server;
mod stopper;
mod wire;

/// A hot path.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The messages of the shorter run: a multiple of all batches.
    pub(crate) count: u32,
    /// Runs the path for a number of messages.
    pub(crate) run: fn(u32),
}

/// Threads run in turn under valgrind, and a peer that waits blocks. So the servers' cases, which need a socket, take
/// the same path each time.
pub(crate) const CASES: &[Case] = &[
    Case { name: "handler-small", count: 40 * 200, run: server::handler_small },
    Case { name: "handler-pipelined", count: 64 * 300, run: server::handler_pipelined },
    Case { name: "async-small", count: 40 * 200, run: server::async_small },
    Case { name: "async-pipelined", count: 64 * 200, run: server::async_pipelined },
    Case { name: "async-lent", count: 64 * 200, run: server::async_lent },
    Case { name: "handler-deflate", count: 40 * 50, run: server::handler_deflate },
    Case { name: "async-deflate", count: 40 * 50, run: server::async_deflate },
    Case { name: "tasks-small", count: 40 * 200, run: server::tasks_small },
    Case { name: "client-small", count: 4000, run: client::small },
    Case { name: "client-stream", count: 100 * 100, run: client::stream },
    Case { name: "text-1k", count: 4000, run: machine::text },
    Case { name: "deflate-1k", count: 1000, run: machine::deflate },
    Case { name: "topics", count: 50 * 200, run: publish::topics },
    Case { name: "senders", count: 50 * 100, run: publish::senders },
    Case { name: "handshake", count: 32 * 40, run: handshake::handshakes },
];

pub(crate) fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

pub(crate) fn names() -> String {
    CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(" ")
}
