//! The server on real sockets, against a peer that speaks frame by frame and may break every rule.

mod acceptor;
mod capacity;
mod close;
mod close_codes;
mod control;
mod echo;
mod fragmentation;
mod handshake;
mod http_hook;
mod panics;
mod pause;
mod protocol_errors;
mod refusals;
mod requests;
mod senders;
mod shutdown;
mod timeouts;
mod write_queue;
