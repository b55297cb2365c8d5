use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use crate::foreign::{Foreign, run_unlocked};

/// The tasks that wait for one connection. A transport remembers one waker; several tasks may use one connection
/// (its owner, a server's task around it, any number of senders), so it is given one that wakes them all.
///
/// A waker's code is its executor's: it runs once this thread has no lock.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// Mostly there is one; it needs no allocation.
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

    /// Adds a waker to the list, once; gives it back if it is there.
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

    /// Whether a task other than `current` waits.
    fn has_others(&self, current: &Waker) -> bool {
        let is_other = |waker: &Option<Waker>| waker.as_ref().is_some_and(|waker| !waker.will_wake(current));
        !self.more.is_empty() || is_other(&self.first) || is_other(&self.sender)
    }
}

impl Wakers {
    /// Whether this task is woken. Ask first and poll the transport then: no wake-up in between is lost.
    #[inline]
    pub(crate) fn contains(&self, waker: &Waker) -> bool {
        self.lock().contains(waker)
    }

    /// Adds a runtime's own task, once. Its waker may be cloned under a lock.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.contains(waker) {
            waiting.push(waker.clone());
        }
    }

    /// Adds a task, once.
    pub(crate) fn add(&self, waker: Waker) {
        let known = {
            let mut waiting = self.lock();
            if waiting.is_sender(&waker) { Some(waker) } else { waiting.push(waker) }
        };
        discard(known);
    }

    /// Makes this task the sender that moves the bytes. Says whether it is known as that; if it was not, it takes `clone`, and
    /// if there is none, clone `waker` without a lock, and try again.
    pub(crate) fn register_sender(&self, waker: &Waker, clone: &mut Option<Waker>) -> bool {
        let known = {
            let mut waiting = self.lock();
            if waiting.is_sender(waker) {
                return true;
            }
            let Some(clone) = clone.take() else { return false };
            // The task of the one before may wait for something other than room.
            waiting.sender.replace(clone).and_then(|before| waiting.push(before))
        };
        discard(known);
        true
    }

    /// The sender does not wait any more. It is woken: its task may wait for something other than room.
    pub(crate) fn release_sender(&self) {
        let sender = self.lock().sender.take();
        wake(sender);
    }

    /// Wakes and forgets all tasks.
    pub(crate) fn wake_all(&self) {
        let List { first, more, sender } = mem::take(&mut *self.lock());
        wake(first.into_iter().chain(more).chain(sender));
    }

    /// Wakes and forgets all tasks but one.
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
