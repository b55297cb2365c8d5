//! The real binary, through pipes and through a pseudo-terminal.

mod connection;
mod pipe;
mod support;
#[cfg(unix)]
mod terminal;
