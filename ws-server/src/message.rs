//! Payloads, kinds and counts of messages. [`Message`](crate::Message) and [`MessageRef`](crate::MessageRef) are in the root of
//! this crate.

pub use crate::connection::{BinaryPayload, TextPayload};
#[doc(inline)]
pub use ws_proto::{Completion, MessageKind, PreparedMessage, Queued, Utf8Bytes};
