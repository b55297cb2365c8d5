//! How a connection closes: Close frames, the side that began, the states of a connection.
//! [`CloseCode`](crate::CloseCode) and [`CloseInfo`](crate::CloseInfo) are in the root of this crate.

#[doc(inline)]
pub use ws_proto::{CloseFrame, ConnectionState, close::Initiator};
