//! The bytes: received ones, ones to send, and buffers for large messages. All belong to the driver and are lent
//! to the [`Connection`](crate::Connection) per call, so that many connections can share one set.

mod backlog;
mod block;
mod budget;
mod pool;
mod pooled;
mod receive;
mod spent;
mod transmit;

pub use backlog::{Backlog, MESSAGE_OVERHEAD};
pub(crate) use budget::Charge;
pub use budget::{MemoryAccount, MemoryBudget};
pub use pool::{BufferPool, BufferPoolConfig};
pub use pooled::PooledBuffer;
pub use receive::{DEFAULT_RECEIVE_BUFFER, ReceiveBuffer};
pub use transmit::{Completion, TransmitQueue};

#[cfg(test)]
mod tests;
