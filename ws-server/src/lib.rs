//! A WebSocket server on tokio.

mod acceptor;
mod app;
mod builder;
mod conn;
mod handler;
mod handler_task;
mod handshake;
mod heads;
mod hub;
mod mailbox;
mod options;
mod origin;
mod request;
mod serve_task;
mod server;
mod shard;
mod sharded;
mod shutdown;
mod slots;
mod upgrade;
mod wheel;

pub use builder::ServerBuilder;
pub use conn::{BinaryPayload, Conn, TextPayload};
pub use handler::Handler;
pub use origin::OriginPolicy;
pub use request::Request;
pub use server::Server;
pub use shutdown::{ShutdownHandle, ShutdownReport};
pub use upgrade::{AcceptError, Acceptor, PendingUpgrade};
pub use ws_proto::{
    BufferPoolConfig, CloseCode, CloseFrame, CloseInfo, Completion, Config, ConfigError, ConnectionError,
    ConnectionState, ControlError, Initiator, Keepalive, Limits, Message, MessageKind, MessageRef, SendError,
    Utf8Bytes, handshake::Rejection,
};
pub use ws_tokio::{Sender, WebSocket};
