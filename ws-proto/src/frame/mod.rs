//! Frame headers: parsing and encoding (RFC 6455 section 5.2).
//!
//! ```text
//!  byte 0            byte 1            2 or 8 bytes          4 bytes
//! ┌───┬───┬───────┬ ┬────┬─────────┐ ┬────────────────────┐ ┬──────────┐
//! │FIN│RSV│opcode │ │MASK│ length  │ │ extended length,   │ │ mask key │
//! │ 1 │ 3 │   4   │ │ 1  │    7    │ │ if length ≥ 126    │ │ if MASK  │
//! └───┴───┴───────┴ ┴────┴─────────┘ ┴────────────────────┘ ┴──────────┘
//! ```

mod header;
mod opcode;

pub use header::{FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, RSV1, RSV2, RSV3};
pub use opcode::OpCode;

#[cfg(test)]
mod tests;
