//! The driver between tokio's `AsyncRead + AsyncWrite` and `ws-proto`, and the one [`WebSocket`] type for both roles.
//!
//! Applications depend on `ws-server` or `ws-client`, which re-export what they need of this crate. Depend on it
//! directly to bind the protocol to a server of your own: do the handshake with `ws_proto::handshake`, then
//! [`WebSocket::new`].
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod core;
mod deadline;
mod driver;
mod foreign;
mod once;
mod outgoing;
mod progress;
mod scratch;
#[cfg(target_os = "linux")]
mod send_queue;
mod sender;
mod served;
mod sink;
#[cfg(feature = "tls-core")]
pub mod tls;
mod turns;
mod wait_list;
mod wakers;
mod websocket;

pub use deadline::deadline_in;
pub use driver::{DirectWriter, Driver};
pub use foreign::{Foreign, Hold, Locked, Panicked, guarded, run_unlocked};
pub use scratch::{ReceiveLease, configure_thread, trim_default_pools, trim_thread_pool};
#[cfg(target_os = "linux")]
pub use send_queue::tcp_send_queue;
pub use sender::{Outlet, Sender};
pub use served::{Served, TurnEnd};
pub use turns::yield_turn;
pub use wait_list::{Entry, Place, WaitList};
pub use websocket::{Parts, WebSocket};

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
