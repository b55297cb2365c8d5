//! A WebSocket client on tokio.

mod connect;
mod connector;
mod error;
mod refusal;
mod stream;
mod url;

pub use connector::{Connected, Connector, connect};
pub use error::{ConnectError, UrlError};
pub use refusal::Refusal;
pub use stream::ClientStream;
pub use ws_proto::{
    ChaChaMaskSource, CloseCode, CloseFrame, CloseInfo, Config, ConfigError, ConnectionError, ConnectionState,
    ControlError, Initiator, Keepalive, Limits, MaskSource, Message, MessageKind, SendError, Utf8Bytes,
};
pub use ws_tokio::Sender;

/// A client's WebSocket; the generic type is [`ws_tokio::WebSocket`].
pub type WebSocket = ws_tokio::WebSocket<ClientStream>;
