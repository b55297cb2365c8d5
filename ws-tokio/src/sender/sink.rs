//! [`Sink`] for [`Sender`].

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_sink::Sink;
use ws_proto::{CloseCode, Message, error::SendError};

use super::{Outlet, Sender, pending_send::PendingSend};
use crate::error::Error;

/// The latest message of a sink.
#[derive(Default)]
pub(super) struct SinkState {
    latest: PendingSend,
    /// Whether the transport may not have taken the latest message.
    is_unwritten: bool,
}

impl SinkState {
    pub(super) fn leave(&mut self, outlet: &dyn Outlet) {
        self.latest.leave(outlet);
    }

    fn poll_written(&mut self, outlet: &dyn Outlet, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_unwritten {
            let written = ready!(self.latest.poll_written(outlet, cx));
            self.is_unwritten = false;
            written?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Sender {
    /// Makes this clone's sink send `message` first.
    pub(crate) fn with_left_over(mut self, message: Option<Message>) -> Self {
        self.sink = message
            .map(|message| Box::new(SinkState { latest: PendingSend::new(message), is_unwritten: true }));
        self
    }
}

/// The state belongs to this clone of the [`Sender`].
///
/// `start_send` queues the message, as [`Sender::try_send`] does. If there is no room, the clone keeps the message, one
/// beyond the limits of the queue, and `poll_ready` and `poll_flush` wait until it is queued. From the first of these
/// polls on, the message has its place among the waiting senders, in the order of their arrival; so it goes before what
/// a later [`Sender::send`] sends. `poll_flush` then waits as `send` does.
///
/// `poll_close` flushes, begins the closing handshake with 1000, as [`Sender::close`] does, and does not wait for its
/// end. It closes the connection for all other handles, too. `forward` of futures-util closes its sink at the end of
/// the stream.
///
/// An error means that the connection is not open, or that a message was sent before `poll_ready` was ready. The
/// message is dropped.
///
/// # Cancel safety
/// A future that polls the sink, such as futures-util's `send`, can be dropped. A message that waits stays in the
/// clone, with its place, until the sink is polled again; dropping the clone drops the message and passes the place on.
/// So after such a drop, either flush the sink or drop the clone: other senders may wait behind it. [`Sender::send`]
/// keeps no place.
impl Sink<Message> for Sender {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { outlet, sink } = &mut *self;
        match sink {
            Some(sink) => sink.latest.poll_queued(&**outlet, cx).map_err(Error::from),
            None => Poll::Ready(Ok(())),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        let Self { outlet, sink } = &mut *self;
        let sink = sink.get_or_insert_default();
        if sink.latest.is_waiting() {
            return Err(Error::Full);
        }
        let waiting = match outlet.try_send(message) {
            Ok(()) => None,
            Err(SendError::Full(message)) => Some(message),
            Err(error) => return Err(error.into()),
        };
        sink.latest.restart(waiting);
        sink.is_unwritten = true;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { outlet, sink } = &mut *self;
        match sink {
            Some(sink) => sink.poll_written(&**outlet, cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.close(CloseCode::NORMAL, "");
        Poll::Ready(Ok(()))
    }
}
