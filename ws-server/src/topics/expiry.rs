//! When the histories of topics are too old. It costs nothing while none is due.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use super::{
    Inner,
    topic::{State, Topic},
};

/// Topics whose histories are looked at for expiry with each publication and each subscription: more than either can
/// add.
pub(super) const EXPIRED_AT_ONCE: usize = 4;

/// No history expires.
const NEVER: u64 = u64::MAX;

/// The topics with a history, by the time at which it is too old. A topic is noted once at a time.
pub(super) struct Expiry {
    started: Instant,
    /// The first time, in nanoseconds since `started`.
    due: AtomicU64,
    noted: Mutex<BinaryHeap<Reverse<Noted>>>,
}

/// Compared by the time only.
struct Noted {
    at: u64,
    topic: Weak<Topic>,
}

impl Expiry {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), due: AtomicU64::new(NEVER), noted: Mutex::default() }
    }

    /// Whether any history will expire.
    pub(super) fn is_used(&self) -> bool {
        self.due.load(Ordering::Relaxed) != NEVER
    }

    pub(super) fn note(&self, at: Instant, topic: &Arc<Topic>) {
        let mut noted = self.lock();
        noted.push(Reverse(Noted { at: self.nanos(at), topic: Arc::downgrade(topic) }));
        self.set_due(&noted);
    }

    /// A topic whose time has come. It may be gone.
    pub(super) fn pop(&self, now: Instant) -> Option<Weak<Topic>> {
        let now = self.nanos(now);
        if self.due.load(Ordering::Relaxed) > now {
            return None;
        }
        let mut noted = self.lock();
        if noted.peek()?.0.at > now {
            return None;
        }
        let Reverse(first) = noted.pop()?;
        if noted.len() < noted.capacity() / 4 {
            noted.shrink_to(64);
        }
        self.set_due(&noted);
        Some(first.topic)
    }

    fn set_due(&self, noted: &BinaryHeap<Reverse<Noted>>) {
        self.due.store(noted.peek().map_or(NEVER, |Reverse(first)| first.at), Ordering::Relaxed);
    }

    fn nanos(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.started).as_nanos();
        u64::try_from(nanos).unwrap_or(NEVER).min(NEVER - 1)
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Noted>>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Notes when a history is too old, so that it is dropped then. Called under the topic's lock.
    pub(super) fn note_expiry(&self, topic: &Arc<Topic>, state: &mut State) {
        if !state.is_expiry_noted
            && let Some(at) = state.log.expires_at()
        {
            state.is_expiry_noted = true;
            self.expiry.note(at, topic);
        }
    }

    /// Drops what is too old of up to `most` topics whose time has come. Returns whether there were any.
    pub(super) fn expire(&self, now: Instant, most: usize) -> bool {
        for done in 0..most {
            let Some(topic) = self.expiry.pop(now) else { return done > 0 };
            let Some(topic) = topic.upgrade() else { continue };
            let Some(mut state) = topic.lock() else { continue };
            state.log.expire(now);
            state.is_expiry_noted = false;
            self.note_expiry(&topic, &mut state);
            let is_freed = state.free_if_unused();
            drop(state);
            if is_freed {
                self.directory.remove(&topic);
            }
        }
        true
    }

    /// Drops what is too old of a few topics, so that no caller works for all of them. Returns whether there were any.
    pub(super) fn expire_few(&self) -> bool {
        self.expiry.is_used() && self.expire(Instant::now(), EXPIRED_AT_ONCE)
    }

    pub(super) fn expire_all(&self) {
        if self.expiry.is_used() {
            self.expire(Instant::now(), usize::MAX);
        }
    }
}

impl PartialEq for Noted {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Noted {}

impl PartialOrd for Noted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Noted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
