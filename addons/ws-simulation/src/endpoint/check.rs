use std::time::Instant;

use ws_proto::{ConnectionState, ReceiveBuffer, TransportAction};

use super::Endpoint;
use crate::{
    fact::{Bounds, Fact, Usage},
    world::World,
};

impl Endpoint<'_> {
    /// Checks what must hold whenever a connection is at rest.
    pub(super) fn check(&mut self, rx: &mut ReceiveBuffer, world: &mut World) {
        let Self { connection, tx, at, .. } = self;
        if !connection.is_charged_exactly(tx) {
            world.accuse(*at, "the memory budget is charged for more or less than is held");
        }
        let (at, due) = (*at, connection.poll_timeout(tx));
        let queued = connection.queued(tx).bytes;
        let limits = &connection.config().limits;
        let bounds = Bounds {
            write_queue_bytes: connection.config().write_queue_bytes,
            max_held_bytes: limits.max_held_bytes,
            read: rx.size(),
        };
        let (held, unfinished) = (connection.held_bytes(), connection.unfinished_bytes());
        world.note(at, Fact::Uses(Usage { queued, held, unfinished, bounds }));
        if !rx.is_empty() {
            world.accuse(at, "received bytes are left unprocessed");
        }
        if self.finished && self.closed.is_none() && !connection.is_paused() {
            world.accuse(at, "the transport is finished, but Closed is not reported");
        }
        if self.closed.is_some() {
            let over = connection.state() == ConnectionState::Closed && tx.is_empty() && due.is_none();
            if !over || connection.wants_read() || connection.transport_action(tx) != TransportAction::Close {
                world.accuse(at, "the connection has more to do after Closed");
            }
        }
        let at_rest = connection.is_settled() && tx.is_empty();
        let due = at_rest.then_some(due);
        if let (Some(before), Some(now)) = (self.settled, due)
            && is_earlier(now, before)
        {
            world.accuse(at, format!("the timer becomes earlier, from {before:?} to {now:?}"));
        }
        self.settled = due.or(self.settled);
    }
}

/// Compares two deadlines; `None` is never due.
fn is_earlier(now: Option<Instant>, before: Option<Instant>) -> bool {
    now.is_some_and(|now| before.is_none_or(|before| now < before))
}
