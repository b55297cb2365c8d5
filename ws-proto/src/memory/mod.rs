//! The memory of connections: what is received, what is to be sent, pools of buffers, and budgets.
//!
//! [`ReceiveBuffer`] and [`TransmitQueue`] belong to the driver. It lends them to the
//! [`Connection`](crate::Connection) per call, so many connections can share one set. [`BufferPool`] keeps buffers for
//! large messages. [`MemoryBudget`] limits what many connections hold together.
//!
//! [`ReceiveBuffer`], [`TransmitQueue`], [`Completion`] and [`Notify`] are in the root of this crate.

mod backlog;
mod block;
mod budget;
mod pool;
mod pooled;
pub(crate) mod receive;
pub(crate) mod sends;
mod spent;
mod traffic;
pub(crate) mod transmit;

pub use backlog::{Backlog, MESSAGE_OVERHEAD};
pub(crate) use budget::Charge;
pub use budget::{MemoryAccount, MemoryBudget};
pub use pool::{BufferPool, BufferPoolConfig};
pub(crate) use pooled::PooledBuffer;
pub use receive::DEFAULT_RECEIVE_BUFFER;
pub(crate) use receive::ReceiveBuffer;
pub(crate) use sends::{Completion, Notify};
#[doc(hidden)]
pub use traffic::{Traffic, TrafficCounts};
pub(crate) use transmit::TransmitQueue;

#[cfg(test)]
mod tests;
