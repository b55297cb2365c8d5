//! Support for the end-to-end tests: a frame-level peer that can break every rule, an exact leak check, and other
//! WebSocket implementations, run as child processes.
//!
//! - [`certificates`]: a certificate authority for tests.
//! - [`descriptors`]: uses up the file descriptors of the process; on Linux.
//! - [`faults`]: drops futures before they end; transports that are slow and fail.
//! - [`harness`]: `harness::run(async { … })` is the body of each end-to-end test.
//! - [`leak`]: finds descriptors and threads that a test leaves behind.
//! - [`raw_peer`]: both roles of the wire protocol. It has its own encoder and decoder, so a mistake in the library's
//!   encoder is not hidden by the same mistake in its decoder.
//! - [`peers`]: Python `websockets`, npm `ws` and Chromium.
//! - [`server`]: servers under test, with both APIs.

pub mod certificates;
#[cfg(target_os = "linux")]
pub mod descriptors;
pub mod faults;
pub mod harness;
mod isolate;
pub mod leak;
pub mod pauses;
pub mod peers;
pub mod ports;
pub mod raw_peer;
pub mod server;

pub use ports::free_port;

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Compiles and runs the guide's code.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide.md")]
pub struct Guide;
