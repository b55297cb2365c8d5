//! Held messages that are taken together, and lent while the connection goes on.

use bytes::Bytes;

use ws_proto::MessageKind;

use super::Link;
use crate::{fact::Fact, trace::Step};

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

    /// Whether a run is out.
    pub(crate) const fn is_lending(&self) -> bool {
        self.run.is_some()
    }

    /// The next message of the run.
    pub(crate) fn next_of_run(&mut self) -> Option<(MessageKind, Bytes)> {
        let message = self.run.as_mut()?.next_message()?;
        let (kind, payload) = (message.kind(), Bytes::copy_from_slice(message.as_bytes()));
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
