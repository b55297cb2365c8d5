//! What is fuzzed: each function takes any bytes and must neither panic nor find a difference.
//!
//! `cargo fuzz run TARGET --features fuzzing` in the workspace's top folder looks for new inputs; `cargo test` in this
//! folder replays those that were kept in `corpus/`.

mod deflate;
mod extensions;
mod frame_header;
mod heads;
mod inflate;
mod input;
mod machine;
mod operations;
mod receive;

pub use deflate::deflate;
pub use extensions::extensions;
pub use frame_header::frame_header;
pub use heads::{request_head, response_head};
pub use inflate::inflate;
pub use operations::operations;
pub use receive::receive;

/// A target by its name.
pub type Target = fn(&[u8]);

/// All of them.
pub const TARGETS: [(&str, Target); 8] = [
    ("frame_header", frame_header),
    ("receive", receive),
    ("request_head", request_head),
    ("response_head", response_head),
    ("extensions", extensions),
    ("deflate", deflate),
    ("inflate", inflate),
    ("operations", operations),
];
