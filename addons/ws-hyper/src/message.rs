//! Payloads and kinds of messages. [`Message`](crate::Message) is in the root of this crate.

#[doc(inline)]
pub use ws_proto::{MessageKind, PreparedMessage, Utf8Bytes};
