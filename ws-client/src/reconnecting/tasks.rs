//! The tasks that wait: the one that polls the client, and those that send.
//!
//! Wakers run code of their executors. They are cloned before a lock is taken, and woken and dropped after it is
//! released.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Wake, Waker},
};

use ws_tokio::internal::{Foreign, Locked, run_unlocked};

/// The waiting tasks of one client.
#[derive(Default)]
pub(super) struct Tasks(Mutex<List>);

#[derive(Default)]
struct List {
    /// The task that polls the client.
    driver: Option<Waker>,
    /// Senders, by the order of their arrival. `None`: the sender has been woken and keeps its place.
    senders: BTreeMap<u64, Option<Waker>>,
    last_place: u64,
}

impl Tasks {
    /// Sets the task that polls the client. Call it before looking for something to do, so that no wake-up is lost.
    pub(super) fn set_driver(&self, waker: &Waker) {
        if self.lock().driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let clone = waker.clone();
        let before = self.lock().driver.replace(clone);
        discard(before);
    }

    pub(super) fn wake_driver(&self) {
        let driver = self.lock().driver.take();
        wake(driver);
    }

    /// Makes a sender wait. It gets a place behind all others unless it has one.
    pub(super) fn wait(&self, place: &mut Option<u64>, waker: &Waker) {
        let clone = Some(waker.clone());
        let before = {
            let mut list = self.lock();
            let place = *place.get_or_insert_with(|| {
                list.last_place += 1;
                list.last_place
            });
            list.senders.insert(place, clone).flatten()
        };
        discard(before);
    }

    /// Removes a sender and wakes the next one.
    pub(super) fn leave(&self, place: Option<u64>) {
        let Some(place) = place else { return };
        let removed = self.lock().senders.remove(&place).flatten();
        discard(removed);
        self.wake_first_sender();
    }

    /// Returns whether no other sender comes before.
    pub(super) fn is_first(&self, place: Option<u64>) -> bool {
        self.lock().senders.first_key_value().is_none_or(|(first, _)| Some(*first) == place)
    }

    pub(super) fn wake_first_sender(&self) {
        let first = self.lock().senders.first_entry().and_then(|mut first| first.get_mut().take());
        wake(first);
    }

    fn lock(&self) -> Locked<'_, List> {
        Locked::new(|| self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn wake(waker: Option<Waker>) {
    waker.into_iter().for_each(|waker| run_unlocked(Foreign::Wake(waker)));
}

fn discard(waker: Option<Waker>) {
    waker.into_iter().for_each(|waker| run_unlocked(Foreign::Waker(waker)));
}

/// The waker that a connection gets when the client is polled.
pub(super) struct WakeDriver(pub(super) Arc<Tasks>);

impl Wake for WakeDriver {
    fn wake(self: Arc<Self>) {
        self.0.wake_driver();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_driver();
    }
}

/// The waker that a connection gets when a sender is polled. Only the first one uses the connection.
pub(super) struct WakeSender(pub(super) Arc<Tasks>);

impl Wake for WakeSender {
    fn wake(self: Arc<Self>) {
        self.0.wake_first_sender();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_first_sender();
    }
}
