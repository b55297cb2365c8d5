//! WebSockets over HTTP/2, against a server that sends single frames. `ws-hyper` has the tests against a whole server.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod drops;
mod opening;
mod raw_server;
mod settings;
mod streams;
