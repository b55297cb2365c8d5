//! Receives control frames too.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    event::Event,
    shared::{SharedState, lock_briefly, poll_locked},
    websocket::{Receiver, WebSocket},
};

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Receives the next message, ping, pong or Close of the peer, in the order in which they arrived. Returns `None`
    /// once the connection is over; [`close_info`](Self::close_info) says how it ended. Use it in a proxy, for example,
    /// that forwards control frames.
    ///
    /// The library still answers pings, unless [`Config::auto_pong`](ws_proto::Config::auto_pong) is off, and the
    /// Close. [`Event::Close`] is returned as soon as the Close and everything before it were received. Continue to
    /// call `recv_event` until it returns `None`: that completes the closing handshake.
    ///
    /// From the first poll of `recv_event` on, pings and pongs that arrive while the application does not receive are
    /// held with the messages, up to `max_held_bytes`. Those that arrived earlier, during a [`send`](Self::send) or a
    /// [`recv`](Self::recv), or while a server's function waited for something else, are not reported. With
    /// [`Config::auto_pong`](ws_proto::Config::auto_pong) off, they are held from the start. The Close is always
    /// reported. `recv` skips what it does not return.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. The next call continues where this one stopped.
    #[doc(alias = "control frames")]
    pub async fn recv_event(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_recv_event(cx)).await
    }

    /// Polls for the next event, as [`recv_event`](Self::recv_event) does.
    pub fn poll_recv_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.put_back_lent();
        let mut state = lock_briefly(self.shared());
        if let Some(message) = state.take_held_as_event() {
            return Poll::Ready(Some(Event::Message(message)));
        }
        poll_locked(self.shared(), state, cx, SharedState::poll_recv_event)
    }

    /// Returns a stream of what [`recv_event`](Self::recv_event) receives.
    pub const fn events(&mut self) -> Events<'_, S> {
        Events { ws: self }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// Receives the next message, ping, pong or Close of the peer. See [`WebSocket::recv_event`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. The next call continues where this one stopped.
    pub async fn recv_event(&mut self) -> Option<Event> {
        self.websocket_mut().recv_event().await
    }

    /// Polls for the next event, as [`recv_event`](Self::recv_event) does.
    pub fn poll_recv_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.websocket_mut().poll_recv_event(cx)
    }

    /// Returns a stream of what [`recv_event`](Self::recv_event) receives.
    pub const fn events(&mut self) -> Events<'_, S> {
        self.websocket_mut().events()
    }
}

/// A stream of the messages and control frames of a [`WebSocket`], from [`WebSocket::events`]. Dropping it loses
/// nothing.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Events<'a, S> {
    ws: &'a mut WebSocket<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Events<'_, S> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.ws.poll_recv_event(cx)
    }
}

impl<S> fmt::Debug for Events<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("ws", &self.ws).finish()
    }
}
