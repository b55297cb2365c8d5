//! Details of the protocol that few programs name: limits, checked configurations, and the parts of a connection.
//! [`Config`](crate::Config) and [`Keepalive`](crate::Keepalive) are in the root of this crate.

#[cfg(feature = "deflate")]
pub use ws_proto::deflate::DeflateParams;
#[doc(inline)]
pub use ws_proto::{Connection, Limits, TransmitQueue, ValidConfig};
#[doc(inline)]
pub use ws_tokio::Parts;
