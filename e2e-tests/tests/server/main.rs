//! The server on real sockets, against a peer that speaks frame by frame and may break every rule.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod accept;
mod acceptor;
mod adoption;
mod auto_pong;
mod behind_proxies;
mod cancel_safety;
mod capacity;
mod close;
mod close_codes;
mod compression;
mod control;
mod decisions;
#[cfg(target_os = "linux")]
mod descriptors;
mod dropped_servers;
mod echo;
mod events;
mod foreign;
mod fragmentation;
mod functions;
mod handshake;
mod handshake_deadline;
mod http_hook;
mod into_parts;
mod memory_budget;
mod options;
mod panics;
mod pause;
mod ping_rtt;
mod protocol_errors;
mod received;
mod recordings;
mod refusals;
mod requests;
#[cfg(target_os = "linux")]
mod resources;
mod runtimes;
mod sender_ends;
mod senders;
mod sharded;
mod shutdown;
mod shutdown_pace;
mod shutdown_spread;
mod slow_peers;
mod statistics;
mod stats;
mod stats_exporter;
mod stats_handshakes;
mod stats_now;
mod stats_places;
mod stats_pressure;
mod stats_slow;
mod stats_spans;
mod stress;
mod timeouts;
mod tls;
mod topics;
mod topics_ends;
mod topics_faults;
mod topics_slow;
mod turns;
#[cfg(unix)]
mod unix;
mod waiting_senders;
mod write_queue;
