//! Attacks and faults, one row of a table each: every test here does to a server what somebody on the internet would,
//! measures what that costs, and holds it against a bound.
//!
//! `cargo test` runs the rows at a reduced scale; `just attacks` runs them in full, in release, and prints the table.
//!
//! **How it is measured.** A server under attack has threads of its own; the attacker is the test's thread, and those
//! that say so ([`measure::on_the_outside`]). So the processor's time and the memory of the two are kept apart:
//! [`measure::Cpu`] is the process's time without the attacker's, [`measure::Memory`] counts what the allocator gave
//! to all other threads, to the byte. Each test has a process of its own.
//!
//! **Bounds** are counts, bytes, and ratios of processor time. Where somebody waits for something, a bound leaves room
//! for a machine that has other things to do; [`mouse`] says how much, and why.
//!
//! The rows measure with `/proc` and with the clocks of threads, so they run on Linux only.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod machine;
mod measure;
mod mouse;
mod rows;
mod scale;
mod table;
mod victim;
