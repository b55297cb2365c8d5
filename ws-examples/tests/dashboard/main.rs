//! The dashboard: its command line, its files, and its page in a browser.
#![allow(clippy::unwrap_used, reason = "a panic in a helper fails the test")]

mod browser;
mod page;
#[path = "../command_lines/program.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod program;
#[path = "../browser/script.rs"]
mod script;
#[path = "../browser/site.rs"]
mod site;
