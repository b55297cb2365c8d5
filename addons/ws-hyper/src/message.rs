//! Payloads and kinds of messages, and the stream of events. [`Message`](crate::Message) and [`Event`](crate::Event)
//! are in the root of this crate.

#[doc(inline)]
pub use ws_proto::{MessageKind, PreparedMessage, Utf8Bytes};
#[doc(inline)]
pub use ws_tokio::Events;
