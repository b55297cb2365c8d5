//! Held messages that are taken together, and lent while the connection continues.

use bytes::Bytes;

use ws_proto::{Connection, MessageKind, MessageRun, ReceiveBuffer, ReceivedMessages, TransmitQueue};

use super::Link;
use crate::{fact::Fact, trace::Step};

/// As [`Connection::lend_received`], if the connection is one that may.
pub(crate) fn lend_received(
    connection: &mut Connection,
    rx: &mut ReceiveBuffer,
    tx: &mut TransmitQueue,
) -> Option<ReceivedMessages> {
    if rx.is_empty() || connection.is_paused() || !connection.is_plain() {
        return None;
    }
    connection.lend_received(rx.position(), rx, tx)
}

impl Link<'_> {
    /// As [`Connection::take_held_run`](ws_proto::Connection::take_held_run). Returns whether there is a run. One that
    /// was taken before is put back first.
    pub(crate) fn take_run(&mut self) -> bool {
        self.put_back_run();
        let held = self.connection.held_bytes();
        *self.run = self.connection.take_held_run();
        if self.connection.held_bytes() != held {
            self.world.accuse(self.at, "a run that is taken does not count as it did before");
        }
        if self.run.is_some() {
            self.world.report.runs_lent += 1;
            self.world.trace(self.at, Step::TakesRun);
        }
        self.run.is_some()
    }

    /// Continues with messages that were [lent](lend_received). The rest of the read is processed.
    pub(crate) fn begin_run(&mut self, messages: ReceivedMessages, rx: &mut ReceiveBuffer) {
        let next = ReceiveBuffer::new(rx.size(), rx.pool().clone());
        *self.run = Some(MessageRun::in_buffer(messages, Box::new(std::mem::replace(rx, next))));
        self.world.report.runs_lent += 1;
        self.world.trace(self.at, Step::TakesRun);
    }

    /// Whether a run is out.
    pub(crate) const fn is_lending(&self) -> bool {
        self.run.is_some()
    }

    /// The next message of the run, taken as an owned one or lent.
    pub(crate) fn next_of_run(&mut self, owned: bool) -> Option<(MessageKind, Bytes)> {
        let run = self.run.as_mut()?;
        let taken = if owned { run.take_message() } else { None };
        let (kind, payload) = match taken {
            Some(message) => (message.kind(), message.into_bytes()),
            None => {
                let message = run.next_message()?;
                (message.kind(), Bytes::copy_from_slice(message.as_bytes()))
            }
        };
        self.world.trace(self.at, Step::GetsMessage(payload.len()));
        self.world.note(self.at, Fact::Delivered { kind, payload: payload[..].into() });
        Some((kind, payload))
    }

    /// As [`Connection::put_back_run`](ws_proto::Connection::put_back_run), if a run is out.
    pub(crate) fn put_back_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let held = self.connection.held_bytes();
        self.connection.put_back_run(run);
        self.world.trace(self.at, Step::PutsBackRun);
        if self.connection.held_bytes() > held {
            self.world.accuse(self.at, "a run that is put back counts more than it did before");
        }
    }
}
