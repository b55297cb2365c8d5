use std::fmt;

use bytes::Bytes;
use ws_proto::{CloseFrame, HeldEvent, Message};

/// What [`WebSocket::recv_event`](crate::WebSocket::recv_event) receives: a message or a control frame of the peer.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A complete text or binary message.
    Message(Message),
    /// A ping (RFC 6455 section 5.5.2), with a payload of at most 125 bytes. With
    /// [`Config::auto_pong`](ws_proto::Config::auto_pong), which is on by default, the library has answered it.
    Ping(Bytes),
    /// A pong (RFC 6455 section 5.5.3), with a payload of at most 125 bytes. It may be unsolicited. The answers to the
    /// library's own pings, of the keepalive and of [`ping_rtt`](crate::WebSocket::ping_rtt), are among them.
    Pong(Bytes),
    /// The peer's Close frame (RFC 6455 section 5.5.1). Its code is `None` if the frame is empty (1005 in other APIs).
    /// It is the last event. The library has answered it, unless it was the answer to our own Close. If the connection
    /// ends without a Close frame (1006), there is no such event.
    Close(CloseFrame),
}

impl From<Message> for Event {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}

impl Event {
    pub(crate) fn from_held(event: HeldEvent) -> Option<Self> {
        match event {
            HeldEvent::Message(message) => Some(Self::Message(message)),
            HeldEvent::Ping(payload) => Some(Self::Ping(payload)),
            HeldEvent::Pong(payload) => Some(Self::Pong(payload)),
            _ => None,
        }
    }
}

/// Omits payloads, to keep them out of logs. A Close has no payload besides its code and reason, which are for logs.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => f.debug_tuple("Message").field(message).finish(),
            Self::Ping(payload) => write!(f, "Ping({} bytes)", payload.len()),
            Self::Pong(payload) => write!(f, "Pong({} bytes)", payload.len()),
            Self::Close(frame) => f.debug_tuple("Close").field(frame).finish(),
        }
    }
}
