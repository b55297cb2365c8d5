//! Commands that wait for a delivery.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::Command;

/// An allocation for more commands is not kept.
const KEPT: usize = 256;

/// Commands that wait, in order, numbered from 1 on.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Vec<Command>>,
    /// The number of the newest command.
    last: AtomicU64,
    /// The number of the newest command that was taken.
    taken: AtomicU64,
    is_pending: AtomicBool,
}

impl Inbox {
    pub(super) fn push(&self, command: Command) {
        let mut waiting = self.lock();
        waiting.push(command);
        self.last.store(self.last.load(Ordering::Relaxed) + 1, Ordering::Release);
        self.is_pending.store(true, Ordering::Release);
    }

    /// Swaps the commands that wait with `spare`, which is empty. Returns the number before the first of them, or
    /// `None` if there is none.
    pub(super) fn take(&self, spare: &mut Vec<Command>) -> Option<u64> {
        if !self.is_pending() {
            return None;
        }
        spare.shrink_to(KEPT);
        let mut waiting = self.lock();
        mem::swap(&mut *waiting, spare);
        self.is_pending.store(false, Ordering::Release);
        let last = self.last.load(Ordering::Relaxed);
        self.taken.store(last, Ordering::Relaxed);
        Some(last - spare.len() as u64)
    }

    /// Whether commands wait. If not, a thread that sees it also sees what was done before they were taken.
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending.load(Ordering::Acquire)
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// How many commands wait.
    pub(super) fn len(&self) -> u64 {
        self.last().saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Keeps all others from the inbox.
    #[cfg(test)]
    pub(super) fn hold(&self) -> MutexGuard<'_, Vec<Command>> {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Command>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
