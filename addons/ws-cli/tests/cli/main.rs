//! The real binary, through pipes and through a pseudo-terminal.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

mod connection;
mod interop;
mod pipe;
mod recipes;
mod reconnect;
mod support;
mod terminal;
mod tools;
