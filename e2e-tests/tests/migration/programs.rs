//! The programs as modules; their `main` functions are not called here.
#![expect(dead_code, reason = "`main` belongs to the program")]

pub(crate) mod echo_server {
    #[path = "../../../migration/echo_server/after.rs"]
    pub(crate) mod after;
    #[path = "../../../migration/echo_server/before.rs"]
    pub(crate) mod before;
}

pub(crate) mod client {
    #[path = "../../../migration/client/after.rs"]
    pub(crate) mod after;
    #[path = "../../../migration/client/before.rs"]
    pub(crate) mod before;
}

pub(crate) mod chat {
    #[path = "../../../migration/chat/after.rs"]
    pub(crate) mod after;
    #[path = "../../../migration/chat/before.rs"]
    pub(crate) mod before;
}
