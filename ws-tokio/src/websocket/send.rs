//! Sends messages and control frames, and keeps the message that a `Sink` has accepted without room for it.

use std::{
    future::poll_fn,
    num::NonZero,
    sync::MutexGuard,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{
    Message, PreparedMessage,
    error::{ControlError, SendError},
};

use super::WebSocket;
use crate::{
    foreign::{Foreign, LockMark, run_unlocked},
    shared::{Shared, SharedState, lock, lock_and_poll, lock_briefly, poll_locked},
};

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Sends a message. Waits while the write queue is at its limits.
    ///
    /// Under a server's `serve`, `send` then returns, and the server writes the message at the end of the turn,
    /// together with all other messages of that turn. In all other cases, `send` returns once the transport has taken
    /// the message.
    ///
    /// While it waits, `send` also reads what the peer sends and holds the messages, up to `max_held_bytes`. So pings
    /// are answered, and two ends that both send do not wait for each other. A `send` that does not wait reads what has
    /// arrived too, unless [`recv`](Self::recv) was polled since the last one.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the message if the connection is not open.
    ///
    /// # Cancel safety
    /// If the future is dropped while the queue is full, nothing is sent. Once the message is queued, it goes out whole
    /// even if the future is dropped.
    pub fn send(
        &mut self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), SendError<Message>>> {
        // Not an `async fn`, whose future would hold the message twice.
        let (mut message, mut mark) = (Some(message.into()), Mark::default());
        poll_fn(move |cx| self.poll_send(cx, &mut message, &mut mark, Then::Write))
    }

    /// Queues a message without flushing. Use it for many small messages, with one [`flush`](Self::flush) at the end.
    /// Waits while the write queue is at its limits.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub fn feed(
        &mut self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), SendError<Message>>> {
        let (mut message, mut mark) = (Some(message.into()), Mark::default());
        poll_fn(move |cx| self.poll_send(cx, &mut message, &mut mark, Then::Return))
    }

    /// Queues the message, once there is room, and then does what `then` says.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        mark: &mut Mark,
        then: Then,
    ) -> Poll<Result<(), SendError<Message>>> {
        if self.rare.as_ref().is_some_and(|rare| rare.left_over.is_some()) {
            let _ = ready!(self.poll_left_over(cx));
        }
        let mut state = lock_briefly(&self.shared);
        if let Some(new) = message
            && state.queue_in_turn(new.kind(), new.as_bytes())
        {
            drop(state);
            drop_sent(message);
            return Poll::Ready(Ok(()));
        }
        poll_send_outside_turn(&self.shared, state, cx, message, mark, then)
    }

    /// Sends a message that goes to many connections, as [`send`](Self::send) does. It is framed and compressed only
    /// once.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection is not open.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let (mut mark, mut is_queued) = (None, false);
        poll_fn(|cx| {
            let _ = ready!(self.poll_left_over(cx));
            lock_and_poll(&self.shared, cx, |state, cx| {
                if !is_queued {
                    ready!(state.poll_queue_prepared(cx, message, &mut mark))?;
                    is_queued = true;
                }
                state.poll_sent(cx).map(Ok)
            })
        })
        .await
    }

    /// Waits until the transport has taken everything that is queued, or the connection is over.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn flush(&mut self) {
        poll_fn(|cx| lock_and_poll(&self.shared, cx, SharedState::poll_flush)).await;
    }

    /// Waits until what was sent is written, unless a server's task writes it.
    async fn sent(&self) {
        poll_fn(|cx| lock_and_poll(&self.shared, cx, SharedState::poll_sent)).await;
    }

    /// Sends a ping (RFC 6455 section 5.5.2). The keepalive of the configuration sends its own.
    ///
    /// # Errors
    /// [`ControlError`] if the connection is not open, the payload is over 125 bytes, or too many control frames wait.
    ///
    /// # Cancel safety
    /// The ping is queued at the first poll.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        lock(&self.shared).queue_ping(payload)?;
        self.sent().await;
        Ok(())
    }

    /// Sends a pong (RFC 6455 section 5.5.3), as an answer or unsolicited. The library answers pings by itself, unless
    /// [`Config::auto_pong`](ws_proto::Config::auto_pong) is off; [`recv_event`](Self::recv_event) receives them.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    ///
    /// # Cancel safety
    /// The pong is queued at the first poll.
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        lock(&self.shared).queue_pong(payload)?;
        self.sent().await;
        Ok(())
    }
}

/// Sends without a turn of a server's task, or where its turn has more to do than to queue the message.
#[inline(never)]
fn poll_send_outside_turn<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared<S>,
    state: MutexGuard<'_, SharedState<S>>,
    cx: &mut Context<'_>,
    message: &mut Option<Message>,
    mark: &mut Mark,
    then: Then,
) -> Poll<Result<(), SendError<Message>>> {
    let mut queued;
    let lock_mark = LockMark::new();
    // Dropped before these, also if the transport panics: foreign code runs after the lock is released.
    let mut state = state;
    if let Some(new) = message
        && state.queue_fast(new.kind(), new.as_bytes())
    {
        queued = message.take();
        let is_sent = then == Then::Return || state.write_fast();
        drop(state);
        drop(lock_mark);
        drop_sent(&mut queued);
        if is_sent {
            return Poll::Ready(Ok(()));
        }
        state = lock_briefly(shared);
    }
    let mut known = mark.get();
    let sent = poll_locked(shared, state, cx, |state, cx| {
        if message.is_some() {
            ready!(state.poll_queue(cx, message, &mut known))?;
        }
        if then == Then::Write { state.poll_sent(cx).map(Ok) } else { Poll::Ready(Ok(())) }
    });
    *mark = Mark::new(known);
    sent
}

/// Drops a message that was copied. One that owns its memory alone is freed at once: that runs no foreign destructor.
#[inline]
fn drop_sent(message: &mut Option<Message>) {
    if let Some(payload) = message.take().map(Message::into_bytes)
        && !payload.is_unique()
    {
        run_unlocked(Foreign::Payload(payload));
    }
}

/// What a send does once its message is queued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It waits until the message is written, unless a server's task writes it.
    Write,
    Return,
}

/// The feed's mark of a message that waits, if there is one. Half the size of an `Option<u64>`, because it is part of
/// the future of each `send`.
#[derive(Default, Clone, Copy)]
struct Mark(Option<NonZero<u64>>);

impl Mark {
    /// The mark `u64::MAX`, which no feed reaches, is `None`.
    const fn new(mark: Option<u64>) -> Self {
        match mark {
            Some(mark) => Self(NonZero::new(mark.wrapping_add(1))),
            None => Self(None),
        }
    }

    fn get(self) -> Option<u64> {
        self.0.map(|mark| mark.get() - 1)
    }
}

/// A message that the `Sink` has accepted and the write queue has no room for yet.
pub(super) struct LeftOver {
    pub(super) message: Message,
    /// Of the connection's feed, only what came before this mark goes first.
    mark: Option<u64>,
}

/// For [`Sink`](futures_sink::Sink): `start_send` must accept a message after `poll_ready`, even one that is larger
/// than the room that is left.
impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Queues a message, or stores it as left over until there is room.
    pub(crate) fn queue_or_leave_over(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if self.rare.as_ref().is_some_and(|rare| rare.left_over.is_some()) {
            return Err(SendError::Full(message));
        }
        let mut mark = None;
        match lock(&self.shared).queue(message, &mut mark) {
            Err(SendError::Full(message)) => {
                self.rare.get_or_insert_default().left_over = Some(LeftOver { message, mark });
                Ok(())
            }
            result => result,
        }
    }

    /// Waits until the message that is left over is queued.
    #[cold]
    pub(crate) fn poll_left_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<Message>>> {
        let Some(LeftOver { message, mut mark }) = self.take_left_over() else { return Poll::Ready(Ok(())) };
        let mut message = Some(message);
        let poll =
            |state: &mut SharedState<S>, cx: &mut Context<'_>| state.poll_queue(cx, &mut message, &mut mark);
        let result = lock_and_poll(&self.shared, cx, poll);
        if let Some(message) = message {
            self.rare.get_or_insert_default().left_over = Some(LeftOver { message, mark });
        }
        result
    }
}

impl<S> WebSocket<S> {
    pub(super) fn take_left_over(&mut self) -> Option<LeftOver> {
        self.rare.as_mut()?.left_over.take()
    }

    /// Queues the message that is left over, beyond the limits of the write queue. Call it only if no other message can
    /// follow: before a Close, and before the connection is taken apart.
    pub(crate) fn queue_left_over(&mut self) -> Result<(), SendError<Message>> {
        let Some(LeftOver { message, mark }) = self.take_left_over() else { return Ok(()) };
        lock(&self.shared).queue_accepted(message, mark)
    }
}
