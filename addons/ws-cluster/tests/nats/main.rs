//! The backplane on NATS, against a real nats-server. Each test starts its own on a free port. Without nats-server, the
//! tests are skipped, or fail if `WS_REQUIRE_PEERS=1` is set. `WS_NATS_SERVER` names another program than the one in
//! the path.
#![cfg(all(feature = "nats", unix))]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

mod basic;
mod faults;
mod history;
mod laws;
mod limits;
mod node;
mod presence;
mod scale;
mod server;
