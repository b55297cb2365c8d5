//! The floors of the benchmark: only the work that no WebSocket echo server can avoid.
//!
//! No limits, no timeouts, no checks, no messages: frames are passed on as they arrive. Never use this as a server.

pub mod frames;
pub mod upgrade;

/// The maximum size of one read.
pub const READ: usize = 128 * 1024;

/// The buffer for reads, with room for the start of a header before it.
pub type Scratch = [u8; frames::PAD + READ];
