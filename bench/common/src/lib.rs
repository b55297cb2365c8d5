//! Shared code of the benchmark's programs: command-line options, settings of the operating system, and flat JSON.

pub mod args;
pub mod client;
pub mod epoll;
pub mod json;
pub mod os;
pub mod server;
