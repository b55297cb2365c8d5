//! The async type for both roles. Each file has the methods for one purpose.

use std::fmt;

use ws_proto::{
    CloseInfo, ConnectionState, error::ConnectionError, recorder::Recording, stats::ConnectionStats,
};

use crate::{
    parts::Parts,
    shared::{Shared, lock},
};

mod close;
mod create;
mod lend;
mod receive;
mod send;
mod split;

use lend::Lent;
use send::LeftOver;
pub use split::Receiver;

/// A WebSocket connection on any tokio transport, for clients and servers.
///
/// # Progress
/// The connection answers pings, completes the closing handshake and watches the deadlines of its
/// [`Config`](ws_proto::Config) while one of its futures is polled. A server's `serve` polls the connection by itself.
/// In all other cases, keep a task in [`recv`](Self::recv). In a task that only sends, each [`send`](Self::send) and
/// [`flush`](Self::flush) also reads what has arrived; messages are held for `recv`, up to `max_held_bytes`.
///
/// # Several tasks
/// A [`Sender`](crate::Sender), from [`sender`](Self::sender), sends from any task. [`split`](Self::split) gives a
/// `Sender` and a [`Receiver`].
///
/// # Cancel safety
/// All state is in the connection. Any future can be dropped at any point, as `select!` does, and no message is lost
/// or sent twice.
///
/// # Dropping
/// Under a server's `serve`, dropping the `WebSocket` closes the connection with 1000 in the background. In all other
/// cases it drops the transport, and the peer receives no Close frame; call [`close`](Self::close) first. To end a
/// server's connection without a Close frame, call [`abort`](Self::abort).
///
/// # Panics and reentrancy
/// Destructors of payloads and wakers of tasks may use the connection. The library catches their panics, and the
/// connection continues. The transport and a client's mask source are called while the connection is locked. They must
/// not use a handle to the connection, and their panics reach the caller.
pub struct WebSocket<S> {
    shared: Shared<S>,
    /// `None` for most connections.
    rare: Option<Box<Rare>>,
}

/// What most connections do not have, apart from the rest to keep that small.
#[derive(Default)]
struct Rare {
    subprotocol: Option<Box<str>>,
    /// Whether `Stream` has reported the end.
    terminated: bool,
    /// A message that the `Sink` has accepted and the write queue has no room for yet.
    left_over: Option<LeftOver>,
    /// Messages that `recv_ref` lends next, or that `recv` returns next.
    lent: Option<Lent>,
}

impl Rare {
    fn is_empty(&self) -> bool {
        let Self { subprotocol, terminated, left_over, lent } = self;
        subprotocol.is_none() && !terminated && left_over.is_none() && lent.is_none()
    }
}

impl<S> WebSocket<S> {
    pub(crate) const fn from_shared(shared: Shared<S>) -> Self {
        Self { shared, rare: None }
    }

    pub(crate) const fn shared(&self) -> &Shared<S> {
        &self.shared
    }

    pub(crate) fn is_terminated_stream(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.terminated)
    }

    /// Returns the error that ended the connection, at the first call only.
    pub(crate) fn take_error(&mut self) -> Option<ConnectionError> {
        if std::mem::replace(&mut self.rare.get_or_insert_default().terminated, true) {
            return None;
        }
        lock(&self.shared).close_info().filter(|info| !info.is_clean()).and_then(|info| info.error)
    }

    /// Returns the negotiated subprotocol (RFC 6455 section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.rare.as_ref()?.subprotocol.as_deref()
    }

    /// Returns whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state() == ConnectionState::Open
    }

    /// Returns whether the connection is open, closing or closed.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        lock(&self.shared).state()
    }

    /// Returns how the connection ended: the side that closed it, the close code, whether the end was clean, and the
    /// error. `None` until [`recv`](Self::recv) has returned `None`, or [`close`](Self::close) or
    /// [`abort`](Self::abort) has returned.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        lock(&self.shared).close_info().cloned()
    }

    /// Returns what the connection has received and sent so far, and its round-trip time; also after its end. `None`
    /// without [`Config::statistics`](ws_proto::Config::statistics), and after [`into_parts`](Self::into_parts).
    #[must_use]
    pub fn stats(&self) -> Option<ConnectionStats> {
        lock(&self.shared).stats()
    }

    /// Returns the connection's latest events, to find out why it closed; also after its end. `None` without
    /// [`Config::recorder`](ws_proto::Config::recorder), and after [`into_parts`](Self::into_parts).
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        lock(&self.shared).recording()
    }

    /// Sets whether later messages may be compressed. On by default; no effect unless compression was negotiated.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, on: bool) {
        if let Some(driver) = lock(&self.shared).driver_mut() {
            driver.connection_mut().set_compression(on);
        }
    }

    /// Returns the negotiated compression parameters. `None` without compression or after the connection's end.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate_params(&self) -> Option<ws_proto::deflate::DeflateParams> {
        lock(&self.shared).driver()?.connection().deflate_params()
    }

    /// Splits the connection into its parts. `None` if the connection is over. Afterwards, every
    /// [`Sender`](crate::Sender) of it behaves as after the connection's end.
    ///
    /// What was sent and is not written yet is in the parts, with the message that the `Sink` has accepted beyond the
    /// limits of the write queue: first in [`Parts::transmit`], and then in [`Parts::connection`], whose
    /// [`pump`](ws_proto::Connection::pump) moves it.
    #[must_use]
    pub fn into_parts(mut self) -> Option<Parts<S>> {
        // An error means that the connection is no longer open.
        let _ = self.queue_left_over();
        self.put_back_lent();
        let (driver, counters) = lock(&self.shared).take_driver()?;
        let mut parts = driver.into_parts(counters.as_deref());
        parts.connection.resume();
        Some(parts)
    }

    /// Calls `f` with the transport, to read its addresses or set its options. `None` if the connection is over. The
    /// connection is locked during the call, so `f` must not use this handle or a [`Sender`](crate::Sender) of it.
    pub fn with_io<R>(&self, f: impl FnOnce(&S) -> R) -> Option<R> {
        lock(&self.shared).driver().map(|driver| f(driver.io()))
    }
}

impl<S> Drop for WebSocket<S> {
    fn drop(&mut self) {
        if self.rare.is_some() && lock(&self.shared).has_server_task() {
            // It goes out before the Close.
            let _ = self.queue_left_over();
        }
        let mut state = lock(&self.shared);
        if state.has_server_task() {
            state.on_owner_dropped();
        } else {
            state.end();
        }
    }
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("state", &self.state()).finish_non_exhaustive()
    }
}
