//! What the end-to-end tests stand on: a frame-level peer that may break every rule, a leak check that is exact,
//! and the implementations of other people, run as child processes.
//!
//! - [`certificates`]: an authority of the tests' own.
//! - [`descriptors`]: a process that has none left; on Linux.
//! - [`faults`]: futures that are dropped, and transports that stall and fail.
//! - [`harness`]: `harness::run(async { … })` is the body of every end-to-end test.
//! - [`leak`]: what a test left behind: descriptors and threads.
//! - [`raw_peer`]: both roles of the wire protocol with an encoder and a decoder of their own, so that a mistake in
//!   the library cannot cancel itself out.
//! - [`peers`]: Python `websockets`, npm `ws` and Chromium.
//! - [`server`]: servers under test, in both styles.

pub mod certificates;
#[cfg(target_os = "linux")]
pub mod descriptors;
pub mod faults;
pub mod harness;
mod isolate;
pub mod leak;
pub mod peers;
pub mod raw_peer;
pub mod server;

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
