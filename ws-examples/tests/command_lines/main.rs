//! Runs the examples through their command lines.
#![allow(clippy::unwrap_used, reason = "a panic in a helper fails the test")]

mod echo_client;
mod echo_server;
mod echo_server_options;
mod json_rpc;
#[cfg(target_os = "linux")]
mod market_data;
mod polling_echo;
mod program;
mod proto_echo;
#[cfg(target_os = "linux")]
mod reconnecting;
mod reverse_proxy;
#[cfg(target_os = "linux")]
mod socket_activation;
