use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use crate::foreign::{Foreign, run_unlocked};

/// The tasks that wait for one connection. A transport stores only one waker, but several tasks may use a connection:
/// its owner, a server's task, and any number of senders. So the transport gets a waker that wakes them all.
///
/// A waker runs code of its executor, so it is called and dropped while this thread holds no lock.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// The usual case is one task, which needs no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
    /// The sender that moves the bytes while it waits for room.
    sender: Option<Waker>,
}

impl List {
    fn contains(&self, waker: &Waker) -> bool {
        self.is_sender(waker) || self.is_listed(waker)
    }

    fn is_listed(&self, waker: &Waker) -> bool {
        match &self.first {
            None => false,
            Some(first) => first.will_wake(waker) || self.more.iter().any(|known| known.will_wake(waker)),
        }
    }

    fn is_sender(&self, waker: &Waker) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.will_wake(waker))
    }

    /// Adds a waker unless it is in the list; then it is returned.
    fn push(&mut self, waker: Waker) -> Option<Waker> {
        if self.is_listed(&waker) {
            return Some(waker);
        }
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.more.push(waker);
        }
        None
    }

    /// Returns whether a task other than `current` waits.
    fn has_others(&self, current: &Waker) -> bool {
        let is_other = |waker: &Option<Waker>| waker.as_ref().is_some_and(|waker| !waker.will_wake(current));
        !self.more.is_empty() || is_other(&self.first) || is_other(&self.sender)
    }
}

impl Wakers {
    /// Returns whether this task is registered. Call it before polling the transport, so that no wake-up is lost.
    #[inline]
    pub(crate) fn contains(&self, waker: &Waker) -> bool {
        self.lock().contains(waker)
    }

    /// Adds a task of the library, whose waker may be cloned under a lock, unless it is registered.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.contains(waker) {
            waiting.push(waker.clone());
        }
    }

    /// Adds a task unless it is registered.
    pub(crate) fn add(&self, waker: Waker) {
        let known = {
            let mut waiting = self.lock();
            if waiting.is_sender(&waker) { Some(waker) } else { waiting.push(waker) }
        };
        discard(known);
    }

    /// Makes this task the sender that moves the bytes. If it is not yet, this takes `clone`. Returns false if `clone`
    /// is `None`: then clone `waker` without a lock and try again.
    pub(crate) fn register_sender(&self, waker: &Waker, clone: &mut Option<Waker>) -> bool {
        let known = {
            let mut waiting = self.lock();
            if waiting.is_sender(waker) {
                return true;
            }
            let Some(clone) = clone.take() else { return false };
            // The task of the previous sender may also wait for something other than room.
            waiting.sender.replace(clone).and_then(|before| waiting.push(before))
        };
        discard(known);
        true
    }

    /// Removes the sender that moves the bytes and wakes its task, which may also wait for something other than room.
    pub(crate) fn release_sender(&self) {
        let sender = self.lock().sender.take();
        wake(sender);
    }

    /// Wakes and removes all tasks.
    pub(crate) fn wake_all(&self) {
        let List { first, more, sender } = mem::take(&mut *self.lock());
        wake(first.into_iter().chain(more).chain(sender));
    }

    /// Wakes and removes all tasks except one.
    pub(crate) fn wake_others(&self, current: &Waker) {
        let (others, sender) = {
            let mut waiting = self.lock();
            if !waiting.has_others(current) {
                return;
            }
            let List { first, more, sender } = mem::take(&mut *waiting);
            let (mut current_task, others): (Vec<_>, Vec<_>) =
                first.into_iter().chain(more).partition(|waker| waker.will_wake(current));
            waiting.first = current_task.pop();
            let (kept, woken) = match sender {
                Some(sender) if sender.will_wake(current) => (Some(sender), None),
                sender => (None, sender),
            };
            waiting.sender = kept;
            (others, woken)
        };
        wake(others.into_iter().chain(sender));
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| run_unlocked(Foreign::Wake(waker)));
}

fn discard(waker: Option<Waker>) {
    waker.into_iter().for_each(|waker| run_unlocked(Foreign::Waker(waker)));
}
