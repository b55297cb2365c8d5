//! What the tests stand on: a transport that does exactly what a test wants, the peer at its other end with an encoder
//! and a decoder of its own, and a task that counts how often it is woken.

mod peer;
mod polling;
mod script;
mod serve;
mod wire;

use std::sync::Arc;

use ws_proto::{Config, Connection, Role, mask::ChaChaMaskSource};
use ws_tokio::WebSocket;

pub(crate) use peer::Peer;
pub(crate) use polling::{Task, cancelled_after};
pub(crate) use script::Script;
pub(crate) use serve::{echo, serve};
pub(crate) use wire::{Frame, opcode};

/// Both roles, for tests that hold for both.
pub(crate) const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// No deadline fires unless a test asks for it.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.keepalive = None;
    config.write_timeout = None;
    config
}

/// An open connection that plays `role`, and its peer.
pub(crate) fn open(role: Role) -> (WebSocket<Script>, Peer) {
    open_with(role, config())
}

pub(crate) fn open_with(role: Role, config: Config) -> (WebSocket<Script>, Peer) {
    let (script, peer) = Script::new(role);
    (WebSocket::new(script, connection(role, config)), peer)
}

pub(crate) fn connection(role: Role, config: Config) -> Connection {
    let config: Arc<Config> = config.build().expect("a good configuration");
    let now = tokio::time::Instant::now().into_std();
    match role {
        Role::Server => Connection::server(config, now),
        Role::Client => Connection::client(config, Box::new(ChaChaMaskSource::from_seed([7; 32])), now),
    }
}

/// Text of `len` bytes that differs from place to place and from number to number.
pub(crate) fn text(number: usize, len: usize) -> String {
    let unit = format!("{number}:abcdefghijklmnopqrstuvwxyz");
    unit.chars().cycle().take(len).collect()
}
