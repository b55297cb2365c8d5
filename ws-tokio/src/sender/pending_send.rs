use std::task::{Context, Poll, ready};

use ws_proto::{Message, error::SendError};

use super::outlet::Outlet;
use crate::wait_list::Place;

/// A message on its way to the queue, and then to the transport.
#[derive(Default)]
pub(super) struct PendingSend {
    /// Until it is accepted or refused.
    message: Option<Message>,
    /// Its place among the senders that wait for room.
    place: Option<Place>,
    /// The number of the message, once it is accepted.
    number: Option<u64>,
    /// Whether the outlet has the task's waker.
    is_registered: bool,
}

impl PendingSend {
    pub(super) const fn new(message: Message) -> Self {
        Self { message: Some(message), place: None, number: None, is_registered: false }
    }

    /// A message that is accepted already, and its number.
    pub(super) const fn accepted(number: u64) -> Self {
        Self { message: None, place: None, number: Some(number), is_registered: false }
    }

    /// Continues with another message; `None` if it is accepted already. The latest one must not wait for room.
    pub(super) fn restart(&mut self, message: Option<Message>) {
        (self.message, self.number) = (message, None);
    }

    /// Whether the message waits for room.
    pub(super) const fn is_waiting(&self) -> bool {
        self.message.is_some()
    }

    /// Waits until the message is queued.
    pub(super) fn poll_queued(
        &mut self,
        outlet: &dyn Outlet,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<Message>>> {
        if self.message.is_none() {
            return Poll::Ready(Ok(()));
        }
        let accepted = outlet.poll_send(cx, &mut self.message, &mut self.place);
        self.is_registered = accepted.is_pending();
        accepted
    }

    /// Waits until the message is queued, and then until the transport has taken it.
    pub(super) fn poll_written(
        &mut self,
        outlet: &dyn Outlet,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<Message>>> {
        ready!(self.poll_queued(outlet, cx))?;
        let handed_over = outlet.poll_handed_over(cx, &mut self.number);
        self.is_registered = handed_over.is_pending();
        handed_over.map(Ok)
    }

    /// Gives the place to the next sender, and removes the waker. Call it before the value is dropped.
    pub(super) fn leave(&mut self, outlet: &dyn Outlet) {
        if self.place.is_some() || std::mem::take(&mut self.is_registered) {
            outlet.cancelled(self.place.take());
        }
    }
}
