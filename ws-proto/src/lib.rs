//! ws-proto
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod buffer;
mod close;
mod connection;
mod control_queue;
mod error;
mod frame;
pub mod handshake;
mod mask;
mod message;
mod random;
mod utf8;

pub use buffer::{
    BufferPool, BufferPoolConfig, Completion, DEFAULT_RECEIVE_BUFFER, PooledBuffer, ReceiveBuffer, TransmitQueue,
};
pub use close::{CloseCode, CloseFrame, CloseInfo, Initiator, MAX_CLOSE_REASON};
pub use connection::{Config, Connection, ConnectionState, Event, Keepalive, Limits, Role, Transport};
pub use control_queue::{CONTROL_QUEUE_CAPACITY, ControlFrame, ControlQueue, QueueFull};
pub use error::{
    CloseError, ConfigError, ConnectionError, ControlError, LimitExceeded, ProtocolError, SendError, TimedOut,
};
pub use frame::{FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, OpCode, RSV1, RSV2, RSV3};
pub use mask::{Mask, apply_mask};
pub use message::{Message, MessageKind, MessageRef};
pub use random::{ChaChaMaskSource, MaskSource};
pub use utf8::{InvalidUtf8, Utf8Bytes, Utf8Validator, is_valid_utf8};
