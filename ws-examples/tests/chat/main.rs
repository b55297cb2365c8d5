//! The chat: its page, its protocol, and its page in a browser.
#![allow(clippy::unwrap_used, reason = "a panic in a helper fails the test")]

mod balancer;
mod broker;
mod browser;
mod nodes;
mod page;
mod person;
#[path = "../command_lines/program.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod program;
mod protocol;
#[path = "../browser/script.rs"]
mod script;
#[path = "../browser/site.rs"]
mod site;
