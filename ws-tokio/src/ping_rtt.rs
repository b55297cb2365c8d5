//! Measures the round-trip time of a ping.

use std::{
    future::poll_fn,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    error::Error,
    foreign::poll_with_clone,
    pings::PingOutlet,
    sender::Sender,
    shared::{SharedState, lock, lock_and_poll},
    websocket::WebSocket,
};

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Sends a ping, waits for its pong, and returns the time between the two, by tokio's clock (RFC 6455 sections
    /// 5.5.2 and 5.5.3). The time includes what the ping and the pong wait behind other bytes.
    ///
    /// The ping has a payload of its own, which no other ping of the connection has. The pong of a later `ping_rtt`
    /// counts for an earlier one too, because a peer may answer only the most recent ping.
    ///
    /// While it waits, `ping_rtt` reads what the peer sends and holds it for [`recv`](Self::recv), up to
    /// `max_held_bytes`. To receive meanwhile, use [`Sender::ping_rtt`] in another task.
    ///
    /// There is no time limit; use `tokio::time::timeout` for one. With the configuration's keepalive, a peer that
    /// sends nothing ends the connection, and so the wait.
    ///
    /// # Errors
    /// - [`Error::Connection`] if the connection failed, before or while it waits.
    /// - [`Error::Closed`] if the connection is closing or closed, or what was held shows that the peer closed it.
    /// - [`Error::Control`] if too many control frames wait to be sent.
    /// - [`Error::HeldFull`] if the messages that are held reach `max_held_bytes` before the pong arrives. Nothing more
    ///   is read until they are received.
    ///
    /// # Cancel safety
    /// The ping is queued at the first poll. If the future is dropped, the pong is ignored.
    pub async fn ping_rtt(&mut self) -> Result<Duration, Error> {
        let number = lock(self.shared()).begin_ping()?;
        let _ping = WaitingPing { outlet: &**self.shared(), number: Some(number) };
        poll_fn(|cx| lock_and_poll(self.shared(), cx, |state, cx| state.poll_pong(cx, number))).await
    }
}

impl Sender {
    /// Sends a ping, waits for its pong, and returns the time between the two, by tokio's clock, as
    /// [`WebSocket::ping_rtt`] does. Any number of tasks can do so at once.
    ///
    /// The pong is read by the task that receives on the connection: a server's task, or the owner's
    /// [`recv`](WebSocket::recv). While that one does not receive and the held messages are at `max_held_bytes`, the
    /// pong waits. On a server's connection with a handler, the pong waits until the connection's next turn.
    ///
    /// # Errors
    /// - [`Error::Connection`] if the connection failed, before or while it waits.
    /// - [`Error::Closed`] if the connection is closing or closed. With a handler, it is returned in place of
    ///   `Error::Connection` too.
    /// - [`Error::Control`] if too many control frames wait to be sent.
    ///
    /// # Cancel safety
    /// The ping is queued at the first poll. If the future is dropped, the pong is ignored.
    pub async fn ping_rtt(&self) -> Result<Duration, Error> {
        let mut ping = WaitingPing { outlet: &*self.outlet, number: None };
        poll_fn(|cx| ping.outlet.poll_ping(cx, &mut ping.number)).await
    }
}

/// Forgets the ping when its future is dropped.
struct WaitingPing<'a, O: PingOutlet + ?Sized> {
    outlet: &'a O,
    number: Option<u64>,
}

impl<O: PingOutlet + ?Sized> Drop for WaitingPing<'_, O> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.outlet.forget_ping(number);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> PingOutlet for Mutex<SharedState<S>> {
    fn poll_ping(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<Result<Duration, Error>> {
        let number = match *number {
            Some(number) => number,
            None => {
                let mut state = lock(self);
                // Set before foreign code runs: a transport may panic, and the ping is forgotten by its number.
                let begun = *number.insert(state.begin_ping()?);
                state.write_queued();
                begun
            }
        };
        poll_with_clone(cx, |clone| {
            let mut state = lock(self);
            if let Some(result) = state.take_ping(number) {
                return Some(Poll::Ready(result));
            }
            state.wait_for_pong(number, cx.waker(), clone).then_some(Poll::Pending)
        })
    }

    fn forget_ping(&self, number: u64) {
        lock(self).forget_ping(number);
    }
}
