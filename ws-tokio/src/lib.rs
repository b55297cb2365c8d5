//! The driver between tokio's `AsyncRead + AsyncWrite` and `ws-proto`, and the one [`WebSocket`] type for both roles.
//!
//! Applications depend on `ws-server` or `ws-client`, which re-export what they need of this crate. Depend on it
//! directly to bind the protocol to a server of your own: do the handshake with `ws_proto::handshake`, then
//! [`WebSocket::new`].

mod core;
mod deadline;
mod driver;
mod progress;
mod scratch;
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
pub use scratch::{ReceiveLease, configure_thread, trim_default_pools, trim_thread_pool};
pub use sender::{Outlet, Sender};
pub use served::{Served, TurnEnd};
pub use turns::yield_turn;
pub use wait_list::{Due, Entry, Place, WaitList};
pub use websocket::{Parts, WebSocket};
