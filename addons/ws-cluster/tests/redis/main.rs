//! The Redis backplane with real servers. Each test starts its own in a temporary folder and kills them.
//!
//! Needs `redis-server` (Debian: `apt-get install redis-server`). Without it, the tests print that they skip, or fail
//! if `WS_REQUIRE_PEERS=1` is set.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod basics;
mod cluster;
mod follower;
mod masters;
mod nodes;
mod probes;
mod restarts;
mod scale;
mod sentinel;
mod server;
#[cfg(feature = "redis-tls")]
mod tls;
