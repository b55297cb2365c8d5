//! Statistics and the latest events of a connection. [`WebSocket::stats`](crate::WebSocket::stats) returns a
//! [`ConnectionStats`], and [`CloseInfo::recording`](crate::CloseInfo::recording) a [`Recording`].

#[doc(inline)]
pub use ws_proto::{
    recorder::{Recorded, RecordedEvent, Recording},
    stats::{CompressedStats, ConnectionStats, DirectionStats, RoundTrip},
};
