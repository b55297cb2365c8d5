//! The fuzz targets. Each function takes arbitrary bytes, and panics if it finds a fault or a difference.
//!
//! `cargo fuzz run TARGET --features fuzzing` in the workspace's top folder looks for new inputs. `cargo test` in this
//! folder runs the inputs in `corpus/`.

mod deflate;
mod differential;
mod envelope;
mod extensions;
mod frame_header;
mod heads;
mod inflate;
mod input;
mod machine;
mod operations;
mod receive;
mod workload;

pub use deflate::deflate;
pub use differential::{differential_tokio_websockets, differential_tungstenite, encode};
pub use envelope::envelope;
pub use extensions::extensions;
pub use frame_header::frame_header;
pub use heads::{request_head, response_head};
pub use inflate::inflate;
pub use operations::operations;
pub use receive::receive;
pub use workload::workload;

/// The target with this name.
pub type Target = fn(&[u8]);

/// All targets.
pub const TARGETS: [(&str, Target); 13] = [
    ("frame_header", frame_header),
    ("receive", receive),
    ("request_head", request_head),
    ("response_head", response_head),
    ("extensions", extensions),
    ("deflate", deflate),
    ("inflate", inflate),
    ("operations", operations),
    ("differential_tungstenite", differential_tungstenite),
    ("differential_tokio_websockets", differential_tokio_websockets),
    ("encode", encode),
    ("workload", workload),
    ("envelope", envelope),
];
