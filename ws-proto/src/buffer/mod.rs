//! Buffers for received bytes, for bytes to send, and for large messages. They belong to the driver, which lends them
//! to the [`Connection`](crate::Connection) for each call, so many connections can share one set.

mod block;
mod pool;
mod pooled;
mod receive;
mod spent;
mod transmit;

pub use pool::{BufferPool, BufferPoolConfig};
pub use pooled::PooledBuffer;
pub use receive::{DEFAULT_RECEIVE_BUFFER, ReceiveBuffer};
pub use transmit::{Completion, TransmitQueue};

#[cfg(test)]
mod tests;
