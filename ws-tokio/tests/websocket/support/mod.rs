//! A transport that a test controls, the peer at its other end with its own encoder and decoder, and a task that counts
//! its wake-ups.

#[cfg(feature = "deflate")]
mod deflate;
mod feed;
mod peer;
mod polling;
mod serve;
mod transport;
mod wire;

use ws_proto::{Config, Connection, Role, ValidConfig, mask::ChaChaMaskSource};
use ws_tokio::WebSocket;

#[cfg(feature = "deflate")]
pub(crate) use deflate::{compress, deflating};
pub(crate) use feed::TestFeed;
pub(crate) use peer::Peer;
pub(crate) use polling::{Task, cancelled_after};
pub(crate) use serve::{ServerTask, echo, serve, serve_connection};
pub(crate) use transport::TestTransport;
pub(crate) use wire::{Frame, opcode};

/// Both roles.
pub(crate) const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// A configuration without keepalive and write timeout: none of their deadlines fires in virtual time.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config.write_timeout = None;
    config
}

/// An open connection with this role, and its peer.
pub(crate) fn open(role: Role) -> (WebSocket<TestTransport>, Peer) {
    open_with(role, config())
}

pub(crate) fn open_with(role: Role, config: Config) -> (WebSocket<TestTransport>, Peer) {
    let (transport, peer) = TestTransport::new(role);
    (WebSocket::new(transport, connection(role, config)), peer)
}

pub(crate) fn connection(role: Role, config: Config) -> Connection {
    let config: ValidConfig = config.validate().expect("a valid configuration");
    let now = tokio::time::Instant::now().into_std();
    match role {
        Role::Server => Connection::server(config, now),
        Role::Client => Connection::client(config, Box::new(ChaChaMaskSource::from_seed([7; 32])), now),
    }
}

/// Text of `len` bytes that differs for each number.
pub(crate) fn text(number: usize, len: usize) -> String {
    let unit = format!("{number}:abcdefghijklmnopqrstuvwxyz");
    unit.chars().cycle().take(len).collect()
}
