//! Assertions on the results: the other half of [`Endpoint`].

use crate::{CloseCode, CloseInfo, ConnectionState, TransportAction};

use super::{
    endpoint::{Endpoint, Seen},
    wire::{self, Sent},
};

impl Endpoint {
    #[track_caller]
    pub(super) fn delivers_text(&mut self, expected: &str) {
        assert_eq!(self.seen.pop_front(), Some(Seen::Text(expected.into())));
    }

    #[track_caller]
    pub(super) fn delivers_binary(&mut self, expected: impl AsRef<[u8]>) {
        assert!(
            self.seen.pop_front() == Some(Seen::Binary(expected.as_ref().to_vec())),
            "unexpected event or payload"
        );
    }

    #[track_caller]
    pub(super) fn delivers_ping(&mut self, expected: &[u8]) {
        assert_eq!(self.seen.pop_front(), Some(Seen::Ping(expected.into())));
    }

    #[track_caller]
    pub(super) fn delivers_pong(&mut self, expected: &[u8]) {
        assert_eq!(self.seen.pop_front(), Some(Seen::Pong(expected.into())));
    }

    #[track_caller]
    pub(super) fn delivers_nothing(&self) {
        assert_eq!(self.seen, []);
    }

    #[track_caller]
    fn sent(&mut self, opcode: u8, payload: &[u8]) {
        assert_eq!(self.outbound.pop(), Some(Sent { opcode, flags: wire::FIN, payload: payload.to_vec() }));
    }

    #[track_caller]
    pub(super) fn sent_text(&mut self, payload: &str) {
        self.sent(wire::TEXT, payload.as_bytes());
    }

    #[track_caller]
    pub(super) fn sent_binary(&mut self, payload: impl AsRef<[u8]>) {
        self.sent(wire::BINARY, payload.as_ref());
    }

    #[track_caller]
    pub(super) fn sent_ping(&mut self, payload: &[u8]) {
        self.sent(wire::PING, payload);
    }

    #[track_caller]
    pub(super) fn sent_pong(&mut self, payload: &[u8]) {
        self.sent(wire::PONG, payload);
    }

    #[track_caller]
    pub(super) fn sent_empty_close(&mut self) {
        self.sent(wire::CLOSE, b"");
    }

    /// Checks that a Close with `code` was sent and nothing after it. Returns its reason.
    #[track_caller]
    pub(super) fn sent_close(&mut self, code: u16) -> String {
        let sent = self.outbound.pop().expect("a Close is sent");
        assert_eq!(sent.opcode, wire::CLOSE, "{sent:?}");
        assert_eq!(sent.payload[..2], code.to_be_bytes(), "{sent:?}");
        self.sends_nothing();
        String::from_utf8(sent.payload[2..].to_vec()).expect("the reason is UTF-8")
    }

    /// Checks that nothing more was sent, not even a part of a frame.
    #[track_caller]
    pub(super) fn sends_nothing(&mut self) {
        assert_eq!(self.outbound.pop(), None);
        assert!(self.outbound.ends_between_frames(), "half a frame");
    }

    /// Checks that the peer's fault is answered by one Close, that no event is reported, and that all later input is
    /// ignored.
    #[track_caller]
    pub(super) fn fails_with(&mut self, code: u16) {
        self.sent_close(code);
        self.delivers_nothing();
        assert_eq!(self.connection.state(), ConnectionState::Closing);
        self.receives([wire::text("late"), wire::ping("late"), wire::close(1000, ""), wire::frame(3, b"")]);
        self.peer_hangs_up();
        let info = self.is_finished();
        assert_eq!(info.sent.and_then(|close| close.code).map(CloseCode::get), Some(code));
        assert_eq!(info.received, None);
        assert!(info.error.is_some_and(crate::error::ConnectionError::is_peer_fault));
        self.sends_nothing();
    }

    #[track_caller]
    pub(super) fn is_open(&mut self) {
        self.delivers_nothing();
        self.sends_nothing();
        assert_eq!(self.connection.state(), ConnectionState::Open);
        assert_eq!(self.connection.close_info(), None);
    }

    /// Checks that `Closed` was the next event, and that the transport must be closed.
    #[track_caller]
    pub(super) fn is_finished(&mut self) -> CloseInfo {
        let Some(Seen::Closed(info)) = self.seen.pop_front() else { panic!("not closed") };
        self.delivers_nothing();
        assert_eq!(self.connection.state(), ConnectionState::Closed);
        assert_eq!(self.transport_action(), TransportAction::Close);
        assert_eq!(self.connection.poll_timeout(&self.tx), None);
        assert!(!self.connection.wants_read());
        assert_eq!(self.connection.close_info(), Some(&info));
        info
    }
}
