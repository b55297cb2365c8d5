use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

/// The tasks that wait for one connection. A transport remembers one waker; several tasks may use one connection
/// (its owner, a server's task around it, any number of senders), so it is given one that wakes them all.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Mostly there is one; it needs no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
    /// The sender that moves the bytes while it waits for room.
    sender: Option<Waker>,
}

impl Waiting {
    /// Whether a task other than `current` waits.
    fn has_others(&self, current: &Waker) -> bool {
        let is_other = |waker: &Option<Waker>| waker.as_ref().is_some_and(|waker| !waker.will_wake(current));
        !self.more.is_empty() || is_other(&self.first) || is_other(&self.sender)
    }
}

impl Wakers {
    /// Adds a task, once. Register first and poll the transport then: no wake-up in between is lost.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if waiting.sender.as_ref().is_some_and(|sender| sender.will_wake(waker)) {
            return;
        }
        match &waiting.first {
            None => waiting.first = Some(waker.clone()),
            Some(first) if first.will_wake(waker) => {}
            Some(_) if waiting.more.iter().any(|known| known.will_wake(waker)) => {}
            Some(_) => waiting.more.push(waker.clone()),
        }
    }

    /// Adds the sender that moves the bytes.
    pub(crate) fn register_sender(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.sender.as_ref().is_some_and(|sender| sender.will_wake(waker)) {
            let before = waiting.sender.replace(waker.clone());
            // Its task may wait for something else here.
            waiting.more.extend(before);
        }
    }

    /// The sender does not wait any more. It is woken: its task may wait for something else here.
    pub(crate) fn forget_sender(&self) {
        let sender = self.lock().sender.take();
        sender.into_iter().for_each(Waker::wake);
    }

    /// Wakes and forgets all tasks. No lock is held while they are woken.
    pub(crate) fn wake_all(&self) {
        let Waiting { first, more, sender } = mem::take(&mut *self.lock());
        first.into_iter().chain(more).chain(sender).for_each(Waker::wake);
    }

    /// Wakes and forgets all tasks but one.
    pub(crate) fn wake_others(&self, current: &Waker) {
        let Waiting { first, more, sender } = {
            let mut waiting = self.lock();
            if !waiting.has_others(current) {
                return;
            }
            mem::take(&mut *waiting)
        };
        let (current_task, others): (Vec<_>, Vec<_>) =
            first.into_iter().chain(more).chain(sender).partition(|waker| waker.will_wake(current));
        current_task.iter().for_each(|waker| self.register(waker));
        others.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
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
