//! The machine against RFC 6455, by topic. Nothing here reads a clock or opens a socket.

mod assertions;
mod bench;
mod wire;

mod fragmentation;
mod framing;
mod utf8;
