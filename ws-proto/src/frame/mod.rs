//! Frame headers: parsing and encoding (RFC 6455 section 5.2), and a queue of control frames (section 5.5).
//!
//! ```text
//!  byte 0            byte 1            2 or 8 bytes          4 bytes
//! ┌───┬───┬───────┬ ┬────┬─────────┐ ┬────────────────────┐ ┬──────────┐
//! │FIN│RSV│opcode │ │MASK│ length  │ │ extended length,   │ │ mask key │
//! │ 1 │ 3 │   4   │ │ 1  │    7    │ │ if length ≥ 126    │ │ if MASK  │
//! └───┴───┴───────┴ ┴────┴─────────┘ ┴────────────────────┘ ┴──────────┘
//! ```

mod control_queue;
mod header;
mod opcode;

pub(crate) use control_queue::CONTROL_QUEUE_CAPACITY;
pub use control_queue::{ControlFrame, ControlQueue, Full};
pub use header::{FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, RSV1, RSV2, RSV3};
pub use opcode::OpCode;

#[cfg(test)]
mod tests;
