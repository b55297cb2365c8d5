//! Moves what waits for a member into its connection.

use std::time::Instant;

use ws_proto::{CloseCode, Connection, ConnectionState, Notify, TransmitQueue, error::SendError};
use ws_tokio::internal::Filled;

use super::{
    pages::NONE,
    store::{Node, Store},
};

/// The reason of the Close for a member that is too slow.
const TOO_SLOW: &str = "messages come faster than they are received";

impl Store {
    /// Moves what waits for a member into the write queue, in order: while that holds fewer than `limit` bytes and has
    /// room, and up to the command `before`.
    pub(super) fn fill(
        &mut self,
        index: u32,
        limit: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        if let Some(code) = self.members[index].close {
            self.close(index, code, connection, tx, now);
            return Filled::Empty;
        }
        let filled = self.fill_open(index, limit, before, connection, tx, now);
        self.charge_nodes();
        filled
    }

    fn fill_open(
        &mut self,
        index: u32,
        limit: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        loop {
            let head = self.members[index].head;
            if head == NONE {
                self.members[index].is_slow = false;
                return Filled::Empty;
            }
            let Node { number, held, .. } = self.nodes[head];
            if before.is_some_and(|before| number > before) {
                return Filled::Empty;
            }
            let Some(publication) = self.publication(held) else { return Filled::Empty };
            if publication.deadline.is_some_and(|deadline| deadline <= now) {
                self.drop_missed(head);
                continue;
            }
            if connection.queued(tx).bytes >= limit {
                return Filled::More;
            }
            let Some(message) = publication.message() else { return Filled::Empty };
            match connection.send_prepared(message, Notify::No, tx) {
                Ok(()) => self.remove(head),
                Err(SendError::Full(())) => return Filled::More,
                Err(SendError::Closed(())) => {
                    self.clear_member(index, false);
                    return Filled::Empty;
                }
            }
        }
    }

    fn close(
        &mut self,
        index: u32,
        code: CloseCode,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) {
        let member = &mut self.members[index];
        member.is_due = false;
        if !std::mem::replace(&mut member.is_closed, true) {
            self.closing -= 1;
            if connection.state() == ConnectionState::Open {
                connection.close(code, TOO_SLOW, now, tx);
            }
        }
    }
}
