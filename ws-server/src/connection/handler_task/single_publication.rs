//! Publications that are written without a turn.

use std::time::Instant;

use ws_proto::PreparedMessage;

use crate::{connection::Handler, net::epoll_socket::Socket, shard::server_state::ShutdownPhase};

use super::{super::handler_state::Life, HandlerTask};

impl<H: Handler> HandlerTask<H, Socket> {
    /// The time of this connection's turns.
    pub(crate) fn now(&self) -> Instant {
        self.state.registration.shard().now()
    }

    /// Whether a turn would do nothing but write what waits in the feed: nothing else is in progress, due or wanted.
    /// What the mailbox got before a publication that the caller sees is seen here.
    #[inline]
    pub(crate) fn takes_prepared(&self) -> bool {
        let state = &self.state;
        let tick = state.registration.shard().tick();
        state.life == Life::Open
            && state.wants.is_empty()
            && self.driver.sends_prepared_frames()
            && self.driver.io().is_idle_and_writable()
            && state.mailbox.as_ref().is_some_and(|mailbox| !mailbox.is_woken())
            && (state.registration.is_armed(tick) || self.driver.poll_timeout().is_none())
            && state.registration.shutdown_phase() == ShutdownPhase::Running
    }

    /// Writes a message, if the connection [takes it](Self::takes_prepared). `false`: the rest waits for a turn.
    #[inline]
    pub(crate) fn send_prepared(&mut self, message: &PreparedMessage, now: Instant) -> bool {
        self.driver.send_prepared_through(message, now, self.state.counters(), Socket::write_or_nothing)
    }
}
