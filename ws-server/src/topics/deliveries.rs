//! The deliveries of [`Topics`](super::Topics).

use std::{
    num::NonZero,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    thread::available_parallelism,
};

use ws_proto::memory::MemoryBudget;
use ws_tokio::internal::Attach;

use super::delivery::{Delivery, MemberWake};

/// The most deliveries for connections that no reactor runs.
const MOST_LOOSE: usize = 8;

/// One delivery for each reactor's shard, and a few for all other connections.
pub(super) struct Deliveries {
    loose: Box<[Arc<Delivery>]>,
    next: AtomicUsize,
    /// By the number of the shard.
    local: RwLock<Vec<(u32, Arc<Delivery>)>>,
    /// What the members of shards that have ended have missed.
    missed_before: AtomicU64,
    budget: Option<MemoryBudget>,
}

impl Deliveries {
    pub(super) fn new(budget: Option<MemoryBudget>) -> Self {
        let count = available_parallelism().map_or(1, NonZero::get).min(MOST_LOOSE);
        Self {
            loose: (0..count).map(|_| Arc::new(Delivery::loose(budget.clone()))).collect(),
            next: AtomicUsize::new(0),
            local: RwLock::default(),
            missed_before: AtomicU64::new(0),
            budget,
        }
    }

    /// Where a new member belongs.
    pub(super) fn of(&self, attach: Attach) -> (Arc<Delivery>, MemberWake) {
        if let Some(home) = attach.home {
            let local = self.local.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, delivery)) = local.iter().find(|(shard, _)| *shard == home.shard) {
                return (Arc::clone(delivery), MemberWake::Local(home.id));
            }
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        (Arc::clone(&self.loose[next % self.loose.len()]), MemberWake::Waker(attach.waker))
    }

    /// Adds the delivery of a shard that begins.
    pub(super) fn add_local(&self, shard: u32, wake: Waker) -> Arc<Delivery> {
        let delivery = Arc::new(Delivery::local(wake, self.budget.clone()));
        let mut local = self.local.write().unwrap_or_else(PoisonError::into_inner);
        local.push((shard, Arc::clone(&delivery)));
        delivery
    }

    /// The shard has ended.
    pub(super) fn remove_local(&self, shard: u32) {
        let mut local = self.local.write().unwrap_or_else(PoisonError::into_inner);
        let removed = local.iter().position(|(other, _)| *other == shard).map(|at| local.swap_remove(at));
        drop(local);
        if let Some((_, delivery)) = removed {
            self.missed_before.fetch_add(delivery.missed_by_all(), Ordering::Relaxed);
        }
    }

    /// Publications that all members together have missed so far.
    pub(super) fn missed(&self) -> u64 {
        let local: Vec<_> = {
            let local = self.local.read().unwrap_or_else(PoisonError::into_inner);
            local.iter().map(|(_, delivery)| Arc::clone(delivery)).collect()
        };
        let now: u64 = self.loose.iter().chain(&local).map(|delivery| delivery.missed_by_all()).sum();
        now + self.missed_before.load(Ordering::Relaxed)
    }
}
