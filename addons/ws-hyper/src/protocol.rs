//! Details of the protocol that few programs name: limits, checked configurations, memory, and the parts of a
//! connection. [`Config`](crate::Config) and [`Keepalive`](crate::Keepalive) are in the root of this crate.

#[cfg(feature = "deflate")]
#[doc(inline)]
pub use ws_proto::deflate::{DeflateParams, TakeoverPrice};
#[doc(inline)]
pub use ws_proto::{
    Connection, Limits, SendQueue, TransmitQueue, ValidConfig,
    memory::{BufferPoolConfig, MemoryAccount, MemoryBudget},
};
#[doc(inline)]
pub use ws_tokio::Parts;
