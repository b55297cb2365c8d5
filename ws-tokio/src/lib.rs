//! WebSocket connections on tokio's `AsyncRead + AsyncWrite`, on top of the state machine in `ws-proto`. There is one
//! [`WebSocket`] type for clients and servers.
//!
//! Applications depend on `ws-server` or `ws-client`, which re-export the types of this crate that they need. Depend on
//! this crate to use the protocol in a server of your own: complete the opening handshake with `ws_proto::handshake`,
//! then call [`WebSocket::server`], `WebSocket::client` (feature `client`) or [`WebSocket::new`].
#![cfg_attr(docsrs, feature(doc_cfg))]

mod delegate;
mod driver;
mod error;
mod event;
mod feed;
mod foreign;
mod full_writes;
#[cfg(feature = "client")]
mod masks;
mod parts;
mod ping_rtt;
mod pings;
mod pressure;
mod recv_event;
mod send_queue;
mod sender;
mod server_half;
mod shared;
mod shutdown;
mod stream_sink;
mod thread_buffers;
mod time;
#[cfg(feature = "tls-core")]
pub mod tls;
mod traffic;
mod transport_io;
mod turn_work;
mod wait_list;
mod websocket;

pub use error::Error;
pub use event::Event;
pub use parts::Parts;
pub use recv_event::Events;
pub use send_queue::tcp_send_queue;
pub use sender::Sender;
pub use shutdown::{Shutdown, ShutdownParts};
pub use websocket::{Receiver, WebSocket};

/// For `ws-server`, `ws-client` and `ws-hyper` only. It is not part of the public API and may change in any release.
#[doc(hidden)]
pub mod internal {
    #[cfg(feature = "client")]
    pub use crate::masks::{random_seed, seeded_masks};
    pub use crate::{
        driver::{DirectWriter, Driver, WriterParts},
        feed::{Attach, Feed, Filled, Home},
        foreign::{Foreign, LockMark, Locked, Panicked, guarded, poll_with_clone, run_unlocked},
        full_writes::FullWrites,
        pings::{PendingPings, PingOutlet},
        pressure::{FeedPressure, Pressure},
        sender::Outlet,
        server_half::{ServerHalf, TurnEnd},
        shutdown::release_evenly,
        thread_buffers::{ThreadReceiveBuffer, configure_thread, trim_default_pools, trim_thread_pool},
        time::{deadline_in, now, yield_turn},
        traffic::{TimeCounters, TrafficCounters, TrafficTotals},
        turn_work::{begin_turn_work, count_turn_message, count_work, yield_after_turn},
        wait_list::{Place, Standing, WaitList},
    };
}

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
