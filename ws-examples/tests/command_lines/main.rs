//! The examples as others run them: by their command lines.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod blocking_echo;
mod chat_server;
mod echo_client;
mod echo_server;
mod echo_server_options;
mod program;
