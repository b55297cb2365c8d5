//! The driver between tokio's `AsyncRead + AsyncWrite` and `ws-proto`, and the one [`WebSocket`] type for both roles.
//!
//! Applications depend on `ws-server` or `ws-client`, which re-export what they need of this crate. Depend on it
//! directly to bind the protocol to a server of your own: do the handshake with `ws_proto::handshake`, then
//! [`WebSocket::new`].
#![cfg_attr(docsrs, feature(doc_cfg))]

mod driver;
mod foreign;
#[cfg(target_os = "linux")]
mod send_queue;
mod sender;
mod server_half;
mod shared;
mod stream_sink;
mod thread_buffers;
mod time;
#[cfg(feature = "tls-core")]
pub mod tls;
mod transport_io;
mod wait_list;
mod websocket;

pub use driver::{DirectWriter, Driver};
pub use foreign::{Foreign, Hold, Locked, Panicked, guarded, run_unlocked};
#[cfg(target_os = "linux")]
pub use send_queue::tcp_send_queue;
pub use sender::{Outlet, Sender};
pub use server_half::{ServerHalf, TurnEnd};
pub use thread_buffers::{ReceiveLease, configure_thread, trim_default_pools, trim_thread_pool};
pub use time::{deadline_in, yield_turn};
pub use wait_list::{Entry, Place, WaitList};
pub use websocket::{Parts, WebSocket};

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
