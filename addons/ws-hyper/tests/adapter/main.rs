//! The adapter inside hyper and axum, against raw peers, this library's client and hyper's client.
#![expect(clippy::unwrap_used, reason = "tests")]

mod adoption;
mod axum;
mod drops;
mod endings;
mod http1;
mod http2;
mod refusals;
mod shutdown;
mod support;
