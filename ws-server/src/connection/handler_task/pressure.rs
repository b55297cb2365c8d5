//! Reports to the observer that the peer has become slow, or is no longer.

use ws_tokio::internal::Pressure;

use crate::{connection::Handler, net::Io};

use super::{super::handler_state::HandlerState, HandlerTask};

impl<H: Handler, S: Io> HandlerTask<H, S> {
    /// Tells the observer if the peer has become slow, or is no longer.
    #[cold]
    pub(super) fn follow_pressure(&mut self) {
        let pressure = self.pressure();
        let HandlerState { slowness, registration, .. } = &mut self.state;
        slowness.follow(&pressure, registration);
    }

    /// As [`follow_pressure`](Self::follow_pressure), at the end of the connection.
    pub(super) fn follow_last_pressure(&mut self) {
        let pressure = self.pressure();
        let HandlerState { slowness, registration, .. } = &mut self.state;
        slowness.follow_end(&pressure, registration);
    }

    fn pressure(&self) -> Pressure {
        let HandlerState { mailbox, slowness, .. } = &self.state;
        let mut pressure = self.driver.pressure();
        pressure.refused = slowness.has_refused();
        if let Some(mailbox) = mailbox {
            mailbox.take_pressure(&mut pressure, !slowness.is_slow());
        }
        pressure
    }
}
