mod run;

pub(crate) use run::lend_received;

use std::{borrow::Cow, time::Instant};

use bytes::Bytes;

use ws_proto::{
    CloseCode, Connection, ConnectionState, HeldEvent, Message, MessageKind, MessageRun, Notify,
    PreparedMessage, Queued, Role, TransmitQueue,
    error::{ConnectionError, ControlError, SendError},
};

use crate::{
    fact::Fact,
    trace::{At, Step},
    world::{World, first_bytes},
};

/// The connection of an [`App`](super::App). The methods are those of [`Connection`]. Everything that they accept is
/// expected to arrive.
pub struct Link<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) tx: &'a mut TransmitQueue,
    pub(crate) world: &'a mut World,
    pub(crate) at: At,
    /// Held messages that were taken, and are lent to the application one after the other.
    pub(crate) run: &'a mut Option<MessageRun>,
}

impl Link<'_> {
    /// As [`Connection::send`].
    ///
    /// # Errors
    /// As that method.
    pub fn send(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        let sent = self.connection.send(kind, payload, self.tx);
        self.note_send(kind, payload, false, sent.is_ok());
        sent
    }

    /// As [`Connection::send_through`]: the bytes that the transport takes at once are written at once.
    ///
    /// # Errors
    /// As that method.
    pub fn send_through(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        let (at, world) = (self.at, &mut *self.world);
        let mut written = Vec::new();
        let sent = self.connection.send_through(kind, payload, self.tx, |slices| {
            let taken = world.write(at, slices).unwrap_or(0);
            written = first_bytes(slices, taken);
            taken
        });
        self.note_send(kind, payload, false, sent.is_ok());
        if !written.is_empty() {
            self.connection.handle_written(self.world.now);
            self.world.trace(at, Step::Writes(written.len()));
            self.world.note(at, Fact::Wrote(Cow::Owned(written)));
        }
        sent
    }

    /// As [`Connection::send_bytes`].
    ///
    /// # Errors
    /// As that method.
    pub fn send_bytes(
        &mut self,
        kind: MessageKind,
        payload: Bytes,
        notify: Notify,
    ) -> Result<(), SendError<Bytes>> {
        let sent = self.connection.send_bytes(kind, payload.clone(), notify, self.tx);
        self.note_send(kind, &payload, notify == Notify::Yes, sent.is_ok());
        sent
    }

    /// As [`Connection::send_message`].
    ///
    /// # Errors
    /// As that method.
    pub fn send_message(&mut self, message: Message, notify: Notify) -> Result<(), SendError<Message>> {
        let sent = self.connection.send_message(message.clone(), notify, self.tx);
        self.note_send(message.kind(), message.as_bytes(), notify == Notify::Yes, sent.is_ok());
        sent
    }

    /// As [`Connection::send_prepared`].
    ///
    /// # Errors
    /// As that method.
    pub fn send_prepared(&mut self, message: &PreparedMessage, notify: Notify) -> Result<(), SendError> {
        let sent = self.connection.send_prepared(message, notify, self.tx);
        self.note_send(message.kind(), message.payload(), notify == Notify::Yes, sent.is_ok());
        sent
    }

    /// As [`Connection::ping`].
    ///
    /// # Errors
    /// As that method.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        let sent = self.connection.ping(payload, self.tx);
        self.world.trace(self.at, Step::Pings { len: payload.len(), accepted: sent.is_ok() });
        if sent.is_ok() {
            self.world.note(self.at, Fact::AcceptedPing(payload.into()));
        }
        sent
    }

    /// As [`Connection::pong`].
    ///
    /// # Errors
    /// As that method.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        let sent = self.connection.pong(payload, self.tx);
        self.world.trace(self.at, Step::Pongs { len: payload.len(), accepted: sent.is_ok() });
        if sent.is_ok() {
            self.world.note(self.at, Fact::AcceptedPong(payload.into()));
        }
        sent
    }

    /// As [`Connection::answer_ping`], for an application whose [`Config`](ws_proto::Config) has `auto_pong` off.
    pub fn answer_ping(&mut self, payload: &[u8]) {
        self.connection.answer_ping(payload, self.tx);
    }

    /// As [`Connection::close`].
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.world.trace(self.at, Step::Closes(code));
        if self.state() == ConnectionState::Open {
            self.world.note(self.at, Fact::Closes);
        }
        self.world.note(self.at, Fact::Drops);
        self.connection.close(code, reason, self.world.now, self.tx);
    }

    /// As [`Connection::close_and_receive`].
    pub fn close_and_receive(&mut self, code: CloseCode, reason: &str) {
        self.world.trace(self.at, Step::ClosesAndReceives(code));
        if self.state() == ConnectionState::Open {
            self.world.note(self.at, Fact::Closes);
        }
        self.connection.close_and_receive(code, reason, self.world.now, self.tx);
    }

    /// As [`Connection::fail`], with [`ConnectionError::Internal`]: what a driver does when its application panics.
    pub fn fail(&mut self) {
        self.world.trace(self.at, Step::Fails);
        self.connection.fail(ConnectionError::Internal, self.world.now, self.tx);
    }

    /// As [`Connection::abort`].
    pub fn abort(&mut self) {
        self.world.trace(self.at, Step::Aborts);
        self.world.note(self.at, Fact::Drops);
        self.connection.abort(self.tx);
    }

    /// As [`Connection::pause`].
    pub fn pause(&mut self) {
        self.world.trace(self.at, Step::Pauses);
        self.connection.pause();
    }

    /// As [`Connection::hold`].
    pub fn hold(&mut self) {
        self.world.trace(self.at, Step::Holds);
        self.connection.hold();
    }

    /// As [`Connection::resume`]. Held messages are delivered with the next events.
    pub fn resume(&mut self) {
        self.put_back_run();
        self.world.trace(self.at, Step::Resumes);
        self.connection.resume();
    }

    /// As [`Connection::take_held_event`].
    pub fn take_held_event(&mut self) -> Option<HeldEvent> {
        self.put_back_run();
        let event = self.connection.take_held_event()?;
        match &event {
            HeldEvent::Message(message) => {
                self.world.trace(self.at, Step::GetsMessage(message.len()));
                let fact = Fact::Delivered { kind: message.kind(), payload: message.as_bytes().into() };
                self.world.note(self.at, fact);
            }
            HeldEvent::Ping(payload) => {
                self.world.report.pings += 1;
                self.world.trace(self.at, Step::GetsPing(payload.len()));
                self.world.note(self.at, Fact::Pinged(payload[..].into()));
            }
            HeldEvent::Pong(payload) => {
                self.world.report.pongs += 1;
                self.world.trace(self.at, Step::GetsPong(payload.len()));
                self.world.note(self.at, Fact::Ponged(payload[..].into()));
            }
            // An event without a rule would pass unchecked.
            unknown => self.world.accuse(self.at, format!("an event without a rule: {unknown:?}")),
        }
        Some(event)
    }

    /// As [`Connection::set_compression`].
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, on: bool) {
        self.connection.set_compression(on);
    }

    /// Reports that a rule of the application is violated: the run ends with a [`Failure`](super::Failure) that has
    /// `law`.
    pub fn object(&mut self, law: impl Into<String>) {
        self.world.accuse(self.at, law);
    }

    /// As [`Connection::state`].
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        self.connection.state()
    }

    /// As [`Connection::is_paused`].
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.connection.is_paused()
    }

    /// As [`Connection::queued`].
    #[must_use]
    pub fn queued(&self) -> Queued {
        self.connection.queued(self.tx)
    }

    /// The role: client or server.
    #[must_use]
    pub fn role(&self) -> Role {
        self.connection.role()
    }

    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.world.now
    }

    fn note_send(&mut self, kind: MessageKind, payload: &[u8], notify: bool, accepted: bool) {
        self.world.trace(self.at, Step::Sends { kind, len: payload.len(), accepted });
        if accepted {
            if self.state() != ConnectionState::Open {
                self.world.accuse(self.at, "a message is accepted although the connection is not open");
            }
            self.world.note(self.at, Fact::Accepted { kind, payload: payload.into(), notify });
        }
    }
}

impl std::fmt::Debug for Link<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.connection.fmt(f)
    }
}
