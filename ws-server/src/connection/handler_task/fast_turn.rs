//! Fast turns, for the usual event: small messages arrive at a connection that does nothing else.

use std::task::{Context, Poll};

use ws_tokio::internal::{ThreadReceiveBuffer, begin_turn_work};

use crate::{connection::Handler, net::epoll_socket::Socket, shard::server_state::ShutdownPhase};

use super::{super::handler_state::Life, HandlerTask};

#[cfg(test)]
thread_local! {
    /// How many fast turns have begun on this thread.
    pub(crate) static FAST_TURNS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl<H: Handler> HandlerTask<H, Socket> {
    /// A turn after an event of the kernel, with the same effects as [`turn`](Self::turn). Steps that can have none are
    /// left out. In any other case, it continues as a usual turn.
    #[inline]
    pub(crate) fn turn_after_event(
        &mut self,
        cx: &mut Context<'_>,
        rx: &mut ThreadReceiveBuffer,
    ) -> Poll<()> {
        let tick = self.state.registration.shard().tick();
        if self.awaits_message(tick) { self.fast_turn(cx, tick, rx) } else { self.turn(cx, rx) }
    }

    /// Whether a turn would begin with a read. What other threads sent or published before this turn is seen here.
    #[inline]
    fn awaits_message(&self, tick: u64) -> bool {
        let state = &self.state;
        self.driver.awaits_message()
            && self.driver.io().is_ready_and_open()
            && state.life == Life::Open
            && state.wants.is_empty()
            && state.mailbox.as_ref().is_none_or(|mailbox| !mailbox.is_woken() && !mailbox.has_feed())
            && state.registration.is_armed(tick)
            && !state.registration.is_watched()
            && state.registration.shutdown_phase() == ShutdownPhase::Running
    }

    fn fast_turn(&mut self, cx: &mut Context<'_>, tick: u64, rx: &mut ThreadReceiveBuffer) -> Poll<()> {
        #[cfg(test)]
        FAST_TURNS.set(FAST_TURNS.get() + 1);
        let now = self.state.registration.shard().time_of(tick);
        begin_turn_work();
        if self.driver.read_fast(cx, now, rx, Socket::read_now).is_pending() {
            return Poll::Pending;
        }
        self.dispatch(cx, now, rx);
        if self.has_only_to_write(rx) {
            let counters = &self.state.registration.shard().server.counters.traffic;
            if self.driver.write_turn_fast(cx, now, rx, counters, Socket::write_now) {
                if self.state.is_pressed() {
                    self.follow_pressure();
                }
                return Poll::Pending;
            }
        }
        let written = self.write_dispatched(cx, now);
        if written.unwrap_or_else(|| self.dispatch_and_write(cx, now, rx)).is_ready() {
            return Poll::Ready(());
        }
        self.read_and_end_turn(cx, now, tick, rx, 1)
    }

    /// Whether all that was received is delivered, and the callbacks have done nothing but send.
    #[inline]
    fn has_only_to_write(&self, rx: &ThreadReceiveBuffer) -> bool {
        rx.is_empty()
            && self.driver.connection().is_settled()
            && self.driver.io().is_read()
            && self.state.wants.is_empty()
    }
}
