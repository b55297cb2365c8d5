//! The real binary, through pipes and through a pseudo-terminal.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

mod connection;
mod pipe;
#[cfg(unix)]
mod recipes;
mod support;
#[cfg(unix)]
mod terminal;
mod tools;
