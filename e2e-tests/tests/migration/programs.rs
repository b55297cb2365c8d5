//! The programs as modules; their `main` functions are not called here.
#![expect(dead_code, reason = "`main` belongs to the program")]

#[path = "../../migration/chat/after.rs"]
pub(crate) mod chat_after;
#[path = "../../migration/chat/before.rs"]
pub(crate) mod chat_before;
#[path = "../../migration/client/after.rs"]
pub(crate) mod client_after;
#[path = "../../migration/client/before.rs"]
pub(crate) mod client_before;
#[path = "../../migration/echo_server/after.rs"]
pub(crate) mod echo_server_after;
#[path = "../../migration/echo_server/before.rs"]
pub(crate) mod echo_server_before;
