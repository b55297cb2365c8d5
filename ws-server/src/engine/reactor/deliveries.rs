//! What topics deliver to the connections of a reactor.

use std::{sync::Arc, task::Waker};

use crate::{
    shard::wake_queue::WakeQueue,
    topics::{Delivery, Topics},
};

use super::{
    connection::ReactorConn,
    schedule::{Schedule, TURNS_PER_POLL},
    table::ConnTable,
};

/// The reactor's delivery in its server's topics, until it is dropped.
pub(super) struct LocalDelivery {
    topics: Topics,
    shard: u32,
    delivery: Arc<Delivery>,
}

impl LocalDelivery {
    pub(super) fn new(topics: &Topics, wake_queue: &Arc<WakeQueue>) -> Self {
        let shard = wake_queue.shard();
        let delivery = topics.add_shard(shard, Waker::from(Arc::clone(wake_queue)));
        Self { topics: topics.clone(), shard, delivery }
    }

    /// Queues the connections that have publications now.
    pub(super) fn queue_due(&self, schedule: &mut Schedule) {
        self.delivery.dispatch(&mut schedule.due);
    }

    /// Writes what connections have to the next of them, up to [`TURNS_PER_POLL`]. Those for which a single write is
    /// not enough get a turn, and so do all that cannot take anything without one.
    pub(super) fn run_due<T: ReactorConn>(&self, schedule: &mut Schedule, connections: &mut ConnTable<T>) {
        let Schedule { due, woken, singles, .. } = schedule;
        let portion = due.len().min(TURNS_PER_POLL);
        if portion == 0 {
            return;
        }
        // All connections of a reactor have one clock.
        let now = due.range(..portion).find_map(|due| Some(connections.get_mut(due.id)?.now()));
        let now = now.unwrap_or_else(ws_tokio::internal::now);
        let takes = |id| connections.get_mut(id).is_some_and(|connection| connection.takes_prepared());
        self.delivery.take_singles(due.drain(..portion), now, takes, singles, woken);
        let mut singles = std::mem::take(singles);
        for (id, message) in singles.sends() {
            let Some(connection) = connections.get_mut(id) else { continue };
            if !connection.send_prepared(message, now) {
                schedule.queue_turn(id, connection);
            }
        }
        singles.clear();
        schedule.singles = singles;
        if schedule.due.is_empty() {
            // Frees what a large broadcast has allocated.
            schedule.due.shrink_to(16 * TURNS_PER_POLL);
        }
    }
}

impl Drop for LocalDelivery {
    fn drop(&mut self) {
        self.topics.remove_shard(self.shard);
    }
}
