//! What every program of the benchmark shares: command-line options, the operating system's knobs and flat JSON.

pub mod args;
pub mod client;
pub mod epoll;
pub mod json;
pub mod os;
pub mod server;
