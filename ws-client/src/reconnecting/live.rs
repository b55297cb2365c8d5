//! A connection, and which of its messages the transport has taken.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Sleep, sleep},
};
use ws_proto::{CloseCode, CloseInfo, Message, close::Initiator, memory::MESSAGE_OVERHEAD};
use ws_tokio::internal::{Foreign, run_unlocked};

use super::queue::Kept;
use crate::WebSocket;

/// While messages of this size, in bytes, are in flight, no further one is accepted until the transport has taken them
/// all. This bounds the copies, which a transport that is never quite empty would let grow.
const MAX_IN_FLIGHT: usize = 1024 * 1024;

/// A connection.
pub(super) struct Live<S> {
    ws: WebSocket<S>,
    pub(super) number: u64,
    /// How many messages it accepted.
    pub(super) accepted: u64,
    /// Messages that were accepted and that the transport may not have taken. The copies share the payloads.
    in_flight: Vec<Message>,
    in_flight_bytes: usize,
    /// The client closes it. The Close frame is sent once nothing is in flight.
    closing: Option<Box<Closing>>,
    is_close_sent: bool,
}

struct Closing {
    code: CloseCode,
    reason: Box<str>,
    /// Without a `write_timeout`, the Close frame does not wait longer than `close_timeout` for what is in flight.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Closing {
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.patience.as_mut().map_or(Poll::Pending, |patience| patience.as_mut().poll(cx))
    }
}

/// The result of an offer to a connection.
pub(super) enum Fed {
    Accepted,
    /// There is no room; the task is woken when there may be.
    Full(Message),
    /// The connection is not open.
    Closed(Message),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Live<S> {
    pub(super) const fn new(ws: WebSocket<S>, number: u64) -> Self {
        Self {
            ws,
            number,
            accepted: 0,
            in_flight: Vec::new(),
            in_flight_bytes: 0,
            closing: None,
            is_close_sent: false,
        }
    }

    /// Returns whether it accepts messages.
    pub(super) fn is_open(&self) -> bool {
        self.closing.is_none() && self.ws.is_open()
    }

    /// Queues a message if there is room.
    pub(super) fn feed(&mut self, message: Message, cx: &mut Context<'_>) -> Fed {
        if self.closing.is_some() {
            return Fed::Closed(message);
        }
        if self.in_flight_bytes >= MAX_IN_FLIGHT {
            self.flush(cx);
            if self.in_flight_bytes >= MAX_IN_FLIGHT && self.ws.is_open() {
                return Fed::Full(message);
            }
        }
        // The future has no state: if it is pending, its copy was not queued.
        let fed = pin!(self.ws.feed(message.clone())).poll(cx);
        match fed {
            Poll::Pending => Fed::Full(message),
            Poll::Ready(Err(_)) => Fed::Closed(message),
            Poll::Ready(Ok(())) => {
                self.accepted += 1;
                self.in_flight_bytes += message.len() + MESSAGE_OVERHEAD;
                self.in_flight.push(message);
                Fed::Accepted
            }
        }
    }

    /// Queues kept messages as far as there is room.
    pub(super) fn feed_kept(&mut self, kept: &mut Kept, cx: &mut Context<'_>) {
        while let Some(message) = kept.pop() {
            if let Fed::Full(message) | Fed::Closed(message) = self.feed(message, cx) {
                return kept.unpop(message);
            }
        }
    }

    /// Writes what is queued, as far as the transport takes it.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) {
        if self.in_flight.is_empty() || pin!(self.ws.flush()).poll(cx).is_pending() || !self.ws.is_open() {
            // When a connection fails, a flush is complete too, because nothing more can be written.
            return;
        }
        self.in_flight_bytes = 0;
        self.in_flight.drain(..).for_each(|message| run_unlocked(Foreign::Message(message)));
    }

    /// Accepts nothing more, and closes the connection once the transport has taken what was accepted. If the peer's
    /// Close came while our Close waits behind messages, the messages would be cut off, and nothing would show it.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        self.closing.get_or_insert_with(|| {
            let patience = self.ws.close_timeout_without_write_timeout();
            let patience = patience.map(|patience| Box::pin(sleep(patience)));
            Box::new(Closing { code, reason: reason.into(), patience })
        });
    }

    /// Writes, and polls for the next message. `None` once the connection is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.flush(cx);
        if let Some(closing) = &mut self.closing
            && !self.is_close_sent
            && (self.in_flight.is_empty() || closing.poll_patience(cx).is_ready())
        {
            self.is_close_sent = true;
            // Messages are received until the peer's Close.
            self.ws.sender().close(closing.code, &closing.reason);
        }
        self.ws.poll_recv(cx)
    }

    /// Takes the messages that the transport may not have taken.
    pub(super) fn take_in_doubt(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.in_flight)
    }

    /// How the connection ended.
    pub(super) fn close_info(&self) -> CloseInfo {
        self.ws.close_info().unwrap_or(CloseInfo::new(Initiator::Local))
    }
}

/// Destructors of payloads may panic.
impl<S> Drop for Live<S> {
    fn drop(&mut self) {
        self.in_flight.drain(..).for_each(|message| run_unlocked(Foreign::Message(message)));
    }
}
