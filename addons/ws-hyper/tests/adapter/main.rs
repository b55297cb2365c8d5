//! The adapter inside hyper and axum, against raw peers, this library's client and hyper's client.
#![expect(clippy::unwrap_used, reason = "tests")]

mod adoption;
mod axum;
mod connector_http2;
mod drops;
mod endings;
mod http1;
mod http2;
mod http2_client;
mod http2_frames;
mod layers;
mod peers;
mod refusals;
mod shutdown;
mod support;
mod tls;
mod tls_server;
mod topics;
