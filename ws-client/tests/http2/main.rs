//! WebSockets over HTTP/2, against a server that sends single frames. `ws-hyper` has the tests against a whole server.
#![cfg(feature = "http2")]

mod drops;
mod opening;
mod raw_server;
mod settings;
mod streams;
