//! With the implementations of other people. Where one is not installed its tests say so and do nothing; with
//! `WS_REQUIRE_PEERS=1` they fail instead. (Chromium is tested with the chat example.)
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod compression;
mod our_client;
mod our_server;
mod proxies;
mod tungstenite;
