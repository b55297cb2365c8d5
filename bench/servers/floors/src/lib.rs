//! The work that no WebSocket echo server can avoid, without anything else: the floors of the benchmark.
//!
//! No limits, no timeouts, no checks, no messages: frames are cut through as they arrive. Never use this as a server.

pub mod frames;
pub mod upgrade;

/// How much one read can bring.
pub const READ: usize = 128 * 1024;

/// What a read is put into: the spilt start of a header fits before it.
pub type Scratch = [u8; frames::PAD + READ];
