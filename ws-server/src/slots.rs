//! Counted places: how many handshakes and connections there may be at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Slots {
    active: AtomicUsize,
    max: usize,
    /// Told when the last place becomes free.
    empty: Notify,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { active: AtomicUsize::new(0), max, empty: Notify::new() })
    }

    /// Takes a place; `None` if all are taken.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let grow = |active| (active < self.max).then_some(active + 1);
        self.active.fetch_update(Ordering::AcqRel, Ordering::Acquire, grow).ok()?;
        Some(Slot(Arc::clone(self)))
    }

    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Waits until no place is taken.
    pub(crate) async fn wait_empty(&self) {
        loop {
            let told = self.empty.notified();
            if self.active() == 0 {
                return;
            }
            told.await;
        }
    }
}

/// A taken place; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_limited_and_come_back() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        drop(first);
        let third = slots.take().unwrap();
        assert_eq!(slots.active(), 2);
        drop((second, third));
        slots.wait_empty().await;
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_place_is_freed() {
        let slots = Slots::new(1);
        let slot = slots.take().unwrap();
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.wait_empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slot);
        waiting.await.unwrap();
    }
}
