//! A peer that speaks WebSocket frame by frame and may break every rule on the way out, while it lets nothing
//! illegal in.
//!
//! It shares no code with the library under test: encoder, decoder and handshake are its own, so it can serve as the
//! oracle. [`RawClient`] faces a server, [`RawServer`] (from a [`RawAcceptor`]) faces a client; both are a
//! [`RawConnection`].
//!
//! Whatever it waits for has to happen within [`DEADLINE`]. That bounds a failure; no test passes by waiting for it.
//! To show that *nothing* more comes, wait for the end of the stream: [`RawReader::expect_eof`].

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

/// The longest wait for anything.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Which end of the connection somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Dials, and masks what it sends.
    Client,
    /// Listens, and does not mask.
    Server,
}

impl Side {
    /// The other one.
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
