//! A peer that sends and receives single frames. It can break every rule in what it sends, and reports every rule that
//! the other end breaks.
//!
//! It shares no code with the library under test: it has its own encoder, decoder and handshake. [`RawClient`] connects
//! to a server under test. [`RawServer`], from a [`RawAcceptor`], accepts a client under test. Both are a
//! [`RawConnection`].
//!
//! Each wait ends with a panic after [`DEADLINE`]. It only bounds a failure; no test passes by waiting for it. To check
//! that *nothing* more arrives, wait for the end of the stream: [`RawReader::expect_eof`].

mod client;
mod connection;
mod decode;
mod frame;
mod head;
mod reader;
mod server;
#[cfg(test)]
mod tests;
mod writer;

pub use client::RawClient;
pub use connection::RawConnection;
pub use decode::{ReceivedFrame, decode};
pub use frame::{Length, Mask, RawFrame, opcode};
pub use head::{Head, RequestHead, SAMPLE_KEY, accept_key, switching_protocols};
pub use reader::{RawReader, RecvError};
pub use server::{RawAcceptor, RawServer};
pub use writer::RawWriter;

use std::time::Duration;

/// The longest time that any method waits. It only bounds a failure, so it is long enough for the slowest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The role of one end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Connects, and masks its frames.
    Client,
    /// Listens, and does not mask its frames.
    Server,
}

impl Side {
    /// The role of the other end.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{DEADLINE:?} passed while waiting: {what}"),
    }
}
