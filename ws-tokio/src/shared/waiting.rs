//! The tasks that wait for the transport or for the end, and the waker that the transport gets.

use std::{sync::Arc, task::Waker};

use super::wakers::Wakers;
use crate::foreign::wake_tasks;

/// The tasks that wait. They are behind the lock of the connection.
///
/// As long as only a server's task waits, the transport gets that task's own waker, so a wake-up takes no further lock.
/// Any other task that waits is registered first, and then polls the transport with a waker that wakes all.
pub(crate) enum Waiting {
    /// Only a server's task, if it has not been woken.
    ServerTask(Option<Waker>),
    /// Any number of tasks. `waker` wakes them all.
    Many { wakers: Arc<Wakers>, waker: Waker },
}

impl Waiting {
    /// For a connection that a server's task runs: usually no other task waits.
    pub(super) const fn for_server_task() -> Self {
        Self::ServerTask(None)
    }

    /// For a connection without a server's task. Any task may write for others there, and the transport then keeps the
    /// waker that it gets.
    pub(super) fn inline() -> Self {
        Self::of(Arc::default())
    }

    /// The waker for the transport.
    #[inline]
    pub(super) fn transport(&self) -> &Waker {
        match self {
            Self::ServerTask(Some(waker)) | Self::Many { waker, .. } => waker,
            // The task that polls has been woken, and polls again.
            Self::ServerTask(None) => Waker::noop(),
        }
    }

    /// The waker of the server's task, if it waits and no other task was ever registered.
    #[inline]
    pub(super) const fn only_server_task(&self) -> Option<&Waker> {
        match self {
            Self::ServerTask(task) => task.as_ref(),
            Self::Many { .. } => None,
        }
    }

    /// A waker that wakes all tasks that wait when it is called.
    pub(super) fn shared_waker(&mut self) -> Waker {
        self.many();
        self.transport().clone()
    }

    /// Notes that this task polls. Returns whether it is registered. Call it before polling the transport, so that no
    /// wake-up is lost.
    #[inline]
    pub(super) fn note_poll(&self, waker: &Waker) -> bool {
        match self {
            Self::ServerTask(known) => known.as_ref().is_some_and(|known| known.will_wake(waker)),
            Self::Many { wakers, .. } => wakers.note_poll(waker),
        }
    }

    /// Adds a server's task, whose waker may be cloned under a lock, unless it is registered.
    #[inline]
    pub(crate) fn register(&mut self, waker: &Waker) {
        match self {
            Self::ServerTask(Some(known)) if known.will_wake(waker) => {}
            Self::ServerTask(known @ None) => *known = Some(waker.clone()),
            _ => self.many().register(waker),
        }
    }

    /// Adds a task of the application unless it is registered. `waker` is a clone of `lent`, the waker that the task
    /// polls with.
    pub(super) fn add(&mut self, waker: Waker, lent: &Waker) {
        self.many().add(waker, lent);
    }

    /// Returns whether this task is the sender that moves the bytes.
    pub(super) fn has_sender(&self, waker: &Waker) -> bool {
        matches!(self, Self::Many { wakers, .. } if wakers.has_sender(waker))
    }

    /// Makes a task the sender that moves the bytes; `clone` is a clone of its waker.
    pub(super) fn set_sender(&mut self, clone: Waker) {
        self.many().set_sender(clone);
    }

    /// Removes the sender that moves the bytes and wakes its task.
    pub(super) fn release_sender(&self) {
        if let Self::Many { wakers, .. } = self {
            wakers.release_sender();
        }
    }

    /// Wakes and removes all tasks.
    pub(crate) fn wake_all(&mut self) {
        match self {
            Self::ServerTask(task) => wake_tasks(task.take()),
            Self::Many { wakers, .. } => wakers.wake_all(),
        }
    }

    /// Returns whether [`wake_others`](Self::wake_others) may wake a task.
    #[inline]
    pub(crate) fn may_have_others(&self, current: &Waker) -> bool {
        match self {
            Self::ServerTask(task) => task.as_ref().is_some_and(|task| !task.will_wake(current)),
            Self::Many { .. } => true,
        }
    }

    /// Wakes and removes all tasks except one.
    #[inline]
    pub(crate) fn wake_others(&mut self, current: &Waker) {
        match self {
            Self::ServerTask(task) => wake_tasks(task.take_if(|task| !task.will_wake(current))),
            Self::Many { wakers, .. } => wakers.wake_others(current),
        }
    }

    /// Makes room for further tasks.
    fn many(&mut self) -> Arc<Wakers> {
        match self {
            Self::Many { wakers, .. } => Arc::clone(wakers),
            Self::ServerTask(task) => {
                let (task, wakers) = (task.take(), Arc::<Wakers>::default());
                if let Some(task) = task {
                    wakers.register(&task);
                }
                *self = Self::of(Arc::clone(&wakers));
                wakers
            }
        }
    }

    fn of(wakers: Arc<Wakers>) -> Self {
        Self::Many { waker: Waker::from(Arc::clone(&wakers)), wakers }
    }
}
