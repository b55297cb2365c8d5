//! How connections close: Close frames, the side that began, the states of a connection, and the settings of a server's
//! shutdown. [`CloseCode`](crate::CloseCode) and [`CloseInfo`](crate::CloseInfo) are in the root of this crate.

#[doc(inline)]
pub use ws_proto::{CloseFrame, ConnectionState, close::Initiator};
#[doc(inline)]
pub use ws_tokio::{Shutdown, ShutdownParts};
