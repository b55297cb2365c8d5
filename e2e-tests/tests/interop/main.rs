//! Tests with other implementations. If one is not installed, its tests are skipped with a line on stderr. With
//! `WS_REQUIRE_PEERS=1` they fail. (Chromium is tested with the chat example.)
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod compression;
mod guide;
mod our_client;
mod our_server;
mod proxies;
mod tungstenite;
