//! Payloads, kinds and counts of messages, and the stream of events. [`Message`](crate::Message),
//! [`MessageRef`](crate::MessageRef) and [`Event`](crate::Event) are in the root of this crate.

pub use crate::connection::{BinaryPayload, TextPayload};
#[doc(inline)]
pub use ws_proto::{Completion, MessageKind, PreparedMessage, Queued, Utf8Bytes};
#[doc(inline)]
pub use ws_tokio::Events;
