//! Receives messages that are lent, and the runs that `recv` takes.

use std::{
    cell::Cell,
    future::poll_fn,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Message, MessageRef};

use super::{Rare, Receiver, WebSocket};
use crate::{
    shared::{LentRun, Shared, SharedState, lock_and_poll, lock_briefly},
    turn_work::{count_work, is_check_due},
};

/// The messages that `recv` takes from a run before it locks the connection again.
const TAKEN_AT_ONCE: u8 = 64;

/// Messages that `recv_ref` lends one after the other, and of which `recv` makes owned ones.
pub(super) struct Lent {
    run: LentRun,
    /// The messages that `recv` may still take.
    left: u8,
}

thread_local! {
    /// A box for the next messages. A connection has one only until it waits again. Not used while the thread ends.
    static SPARE: Cell<Option<Box<Rare>>> = const { Cell::new(None) };
}

/// Keeps messages that were taken for `recv`.
pub(super) fn keep_for_recv(run: LentRun, rare: &mut Option<Box<Rare>>) {
    keep(Lent { run, left: TAKEN_AT_ONCE }, rare);
}

fn keep(lent: Lent, rare: &mut Option<Box<Rare>>) {
    rare.get_or_insert_with(|| SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()).lent =
        Some(lent);
}

/// Takes the messages back. Without anything else, the box is left to the next connection of the thread.
fn take(rare: &mut Option<Box<Rare>>) -> Option<Lent> {
    let lent = rare.as_mut()?.lent.take();
    if let Some(rare) = rare.take_if(|rare| rare.is_empty()) {
        let _ = SPARE.try_with(|spare| spare.set(Some(rare)));
    }
    lent
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Receives the next text or binary message and lends its payload until the next call. Otherwise the same as
    /// [`recv`](Self::recv), and both can be used in turn.
    ///
    /// It suits a task that reads many small messages and keeps few of them: `recv` allocates memory for each payload
    /// and copies it. [`MessageRef::into_message`] makes an owned message.
    ///
    /// Messages that arrive together are taken from the connection together. Those that are not lent yet count towards
    /// `max_held_bytes`.
    ///
    /// ```
    /// use tokio::io::{AsyncRead, AsyncWrite};
    /// use ws_tokio::WebSocket;
    ///
    /// /// Returns how many bytes the peer sends.
    /// async fn count<S: AsyncRead + AsyncWrite + Unpin>(ws: &mut WebSocket<S>) -> usize {
    ///     let mut bytes = 0;
    ///     while let Some(message) = ws.recv_ref().await {
    ///         bytes += message.len();
    ///     }
    ///     bytes
    /// }
    /// ```
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. The next call continues where this one stopped.
    #[doc(alias = "zero-copy")]
    pub async fn recv_ref(&mut self) -> Option<MessageRef<'_>> {
        poll_fn(|cx| self.poll_lent(cx)).await;
        self.next_lent()
    }

    /// Polls for the next message, as [`recv_ref`](Self::recv_ref) does.
    pub fn poll_recv_ref(&mut self, cx: &mut Context<'_>) -> Poll<Option<MessageRef<'_>>> {
        ready!(self.poll_lent(cx));
        Poll::Ready(self.next_lent())
    }

    /// `Ready`: there is a message to lend, or the connection is over.
    fn poll_lent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, rare } = self;
        if let Some(Lent { run, .. }) = rare.as_mut().and_then(|rare| rare.lent.as_mut())
            && run.messages.has_next()
            && !run.messages.is_dropped()
        {
            return poll_next_lent(shared, cx);
        }
        let run = lock_and_poll(shared, cx, |state, cx| {
            // No memory is held while the task waits.
            put_back_lent(state, rare);
            state.poll_recv_run(cx)
        });
        run.map(|run| {
            if let Some(run) = run {
                keep(Lent { run, left: 0 }, rare);
            }
        })
    }
}

/// Counts a message that is lent. `Pending`: the turn of the server's task has been long, or others run first.
#[inline]
fn poll_next_lent<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared<S>, cx: &mut Context<'_>) -> Poll<()> {
    count_work(1);
    if is_check_due() { lock_and_poll(shared, cx, SharedState::poll_turn_budget) } else { Poll::Ready(()) }
}

impl<S> WebSocket<S> {
    #[inline]
    fn next_lent(&mut self) -> Option<MessageRef<'_>> {
        self.rare.as_mut()?.lent.as_mut()?.run.messages.next_message()
    }

    /// Makes an owned message of the next one, without the connection. `None`: [put the messages back](put_back_lent),
    /// and ask the connection.
    #[inline]
    pub(super) fn take_lent(&mut self) -> Option<Message> {
        let lent = self.rare.as_mut()?.lent.as_mut()?;
        lent.left = lent.left.checked_sub(1)?;
        if is_check_due() {
            return None;
        }
        count_work(1);
        lent.run.take_message()
    }

    /// Returns the messages that are not lent yet to the connection.
    pub(crate) fn put_back_lent(&mut self) {
        let Self { shared, rare } = self;
        if rare.as_ref().is_some_and(|rare| rare.lent.is_some()) {
            put_back_lent(&mut lock_briefly(shared), rare);
        }
    }

    /// Drops the messages that are not lent yet: the connection ends.
    pub(super) fn drop_lent(&mut self) {
        take(&mut self.rare);
    }
}

/// Returns the messages that are not lent yet to the connection.
#[inline(never)]
pub(super) fn put_back_lent<S>(state: &mut SharedState<S>, rare: &mut Option<Box<Rare>>) {
    if let Some(lent) = take(rare)
        && let Some(driver) = state.driver_mut()
    {
        driver.connection_mut().put_back_run(lent.run.into_rest());
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// Receives the next message and lends its payload until the next call. See [`WebSocket::recv_ref`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. The next call continues where this one stopped.
    pub async fn recv_ref(&mut self) -> Option<MessageRef<'_>> {
        self.ws.recv_ref().await
    }

    /// Polls for the next message, as [`recv_ref`](Self::recv_ref) does.
    pub fn poll_recv_ref(&mut self, cx: &mut Context<'_>) -> Poll<Option<MessageRef<'_>>> {
        self.ws.poll_recv_ref(cx)
    }
}
