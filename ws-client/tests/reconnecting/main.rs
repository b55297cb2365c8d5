//! `Reconnecting` on a simulated network, with paused time.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod cancellation;
mod closing;
mod credentials;
mod delays;
mod foreign;
mod herd;
mod laws;
mod requests;
mod sending;
mod support;
