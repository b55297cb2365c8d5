//! Attacks and faults, one row of a table each. Each test attacks a server as a client on the internet could, measures
//! the cost, and compares it with a bound.
//!
//! `cargo test` runs the rows at a reduced scale. `just attacks` runs them at full scale in release mode and prints the
//! table.
//!
//! **How it is measured.** The server under attack runs on its own threads. The attacker runs on the test's thread, and
//! on threads that call [`measure::mark_as_attacker`]. [`measure::Cpu`] is the process's processor time without the
//! attacker's. [`measure::Memory`] counts the bytes that the allocator gave to all other threads. Each test runs in its
//! own process.
//!
//! **Bounds** are counts, bytes, and ratios of processor time. A bound on a waiting time leaves room for other programs
//! on the machine; [`probe_client`] says how much, and why.
//!
//! The rows use `/proc` and the clocks of threads, so they run on Linux only.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod machine;
mod measure;
mod probe_client;
mod rows;
mod scale;
mod table;
mod target_server;
