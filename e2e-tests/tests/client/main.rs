//! The client on real sockets, against a server that is scripted frame by frame and may break every rule.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod cancel_safety;
mod closing;
mod compression;
mod connecting;
mod control;
mod dropped_connects;
mod ends;
mod events;
mod http2;
mod illegal_frames;
mod into_request;
mod leftover;
mod limits;
mod messages;
mod names;
mod options;
mod proxies;
mod proxies_by_tls;
mod received;
mod redirects;
mod refusals;
mod relay;
mod requests;
mod responses;
mod statistics;
mod support;
mod temporary;
mod timeouts;
mod tls;
mod tls_on_streams;
