//! [`Stream`] for [`WebSocket`] and [`Receiver`], [`Sink`] for [`WebSocket`].

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, Message};

use crate::{
    error::Error,
    shared::{SharedState, lock, lock_and_poll},
    websocket::{Receiver, WebSocket},
};

/// Yields the messages, then one [`Error::Connection`] if the connection did not end with a clean close, then `None`.
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<S> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match ready!(self.poll_recv(cx)) {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Ready(self.take_error().map(|error| Err(error.into()))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FusedStream for WebSocket<S> {
    fn is_terminated(&self) -> bool {
        self.is_terminated_stream()
    }
}

/// Yields the messages as the [`WebSocket`]'s stream does.
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Receiver<S> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(self.websocket_mut()).poll_next(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FusedStream for Receiver<S> {
    fn is_terminated(&self) -> bool {
        self.websocket().is_terminated_stream()
    }
}

/// `start_send` accepts one message beyond the limits of the write queue. `poll_ready` waits until that message is in
/// the queue. An error means that the connection is not open, or that a message was sent before `poll_ready` was ready;
/// the message is dropped. [`WebSocket::send`] returns it instead.
///
/// `poll_close` closes the connection with 1000 and waits for the end. Our Close goes out behind the messages that were
/// sent, and the peer has `close_timeout` to answer it. The [`Stream`] still yields the messages that arrive before the
/// peer's Close. They are held until they are taken, up to `max_held_bytes`; beyond that nothing is read. So take
/// messages from the stream meanwhile or afterwards, until it yields `None`. To drop them, use [`WebSocket::close`].
impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocket<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_left_over(cx).map_err(Error::from)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        self.queue_or_leave_over(message).map_err(Error::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(self.poll_left_over(cx))?;
        lock_and_poll(self.shared(), cx, SharedState::poll_flush).map(Ok)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.queue_left_over()?;
        if self.is_open() {
            lock(self.shared()).queue_close_and_receive(Some(CloseCode::NORMAL), "");
        }
        lock_and_poll(self.shared(), cx, SharedState::poll_closing_handshake).map(Ok)
    }
}
