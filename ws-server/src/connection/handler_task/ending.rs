//! The end of a connection, also by a panic of a callback.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use ws_proto::{CloseInfo, ConnectionState, Event, ReceiveBuffer, error::ConnectionError};

use crate::{connection::Handler, measure::PanicPlace, net::Io};

use super::{super::handler_state::Life, HandlerTask};

impl<H: Handler, S: Io> HandlerTask<H, S> {
    /// A callback panicked: the connection closes with 1011. `Pending`: it wants another turn.
    pub(crate) fn on_panic(&mut self) -> Poll<()> {
        let is_over = self.state.life == Life::Over;
        let line = if is_over {
            "a handler panicked at the end of its connection"
        } else {
            "a handler panicked; its connection is closed with 1011"
        };
        self.state.registration.shard().server.note_panic(PanicPlace::Handler, line);
        if is_over {
            return Poll::Ready(());
        }
        // The state machine is consistent between callbacks.
        let now = self.state.registration.shard().now();
        let (connection, tx) = self.driver.parts_mut();
        connection.fail(ConnectionError::Internal, now, tx);
        self.state.life = Life::Failed;
        self.lift_pauses();
        Poll::Pending
    }

    /// After a panic of a callback: of all events the handler gets only the end.
    #[cold]
    pub(super) fn dispatch_end(&mut self, cx: &Context<'_>, now: Instant, rx: &mut ReceiveBuffer) {
        while let Some(event) = self.driver.poll_event(rx) {
            if let Event::Closed(info) = event {
                return self.report_end(cx, now, &info);
            }
        }
    }

    #[cold]
    pub(super) fn report_end(&mut self, cx: &Context<'_>, now: Instant, info: &CloseInfo) {
        self.state.life = Life::Over;
        if self.state.is_pressed() {
            self.follow_last_pressure();
        }
        self.state.registration.end(Some(info));
        if let Some(mailbox) = &self.state.mailbox {
            mailbox.end(ConnectionState::Closed);
        }
        self.call(cx, now, |handler, conn| handler.on_close(conn, info));
    }

    pub(super) fn end_mailbox_unless_open(&self) {
        let Some(mailbox) = &self.state.mailbox else { return };
        let state = self.driver.connection().state();
        if state != ConnectionState::Open {
            mailbox.end(state);
        }
    }
}
