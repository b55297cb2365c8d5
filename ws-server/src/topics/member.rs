//! Connections that subscribe to topics.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ws_proto::{Message, Queued};
use ws_tokio::internal::{Locked, guarded};

use super::{
    Topics,
    delivery::{Delivery, MemberLimits, Slot},
    error::PublishError,
    options::PublishOptions,
    outcome::Published,
    publication::MemberId,
    slow::SlowPolicy,
    subscriptions::Subscriptions,
};

/// A connection that subscribes to topics: a handle, as a [`Sender`](crate::Sender) is. The membership belongs to the
/// connection and ends with it. From [`Topics::join`].
#[derive(Clone)]
pub struct Member(pub(super) Arc<Shared>);

/// The state of a member, which its connection owns.
pub(super) struct Shared {
    pub(super) id: MemberId,
    pub(super) topics: Topics,
    pub(super) delivery: Arc<Delivery>,
    pub(super) slot: Slot,
    pub(super) limits: MemberLimits,
    pub(super) slow: Option<SlowPolicy>,
    data: Option<Arc<dyn Any + Send + Sync>>,
    list: Mutex<Subscriptions>,
    /// What was missed, once the connection is over.
    missed: AtomicU64,
}

impl Member {
    /// The member's id.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.0.id
    }

    /// The topics that the member belongs to.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    /// The topics of this member's subscriptions, in the order of their names.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Arc<str>> {
        self.0.lock().names()
    }

    /// Publishes a message to all other members of a topic. This member need not be one of them.
    ///
    /// # Errors
    /// [`PublishError`]. Nothing was published then.
    pub fn publish(&self, topic: &str, message: impl Into<Message>) -> Result<Published, PublishError> {
        self.0.topics.publish_with(topic, message, PublishOptions::new().except(self.id()))
    }

    /// The publications that this member did not get, in all its subscriptions so far: dropped by a
    /// [`SlowPolicy`], or past their deadline.
    #[must_use]
    pub fn missed(&self) -> u64 {
        let list = self.0.lock();
        if list.is_over() {
            return self.0.missed.load(Ordering::Relaxed);
        }
        self.0.delivery.missed(self.0.slot)
    }

    /// As [`missed`](Self::missed), of its subscription to one topic. 0 without a subscription.
    #[must_use]
    pub fn missed_in(&self, topic: &str) -> u64 {
        let list = self.0.lock();
        list.get(topic).map_or(0, |topic| self.0.delivery.missed_in(self.0.slot, topic.id))
    }

    /// The publications that wait for this member, which are not in the connection's write queue yet.
    #[must_use]
    pub fn waiting(&self) -> Queued {
        let mut queued = Queued::default();
        let list = self.0.lock();
        if !list.is_over() {
            let waiting = self.0.delivery.waiting(self.0.slot);
            (queued.messages, queued.bytes) = (waiting.messages, waiting.bytes);
        }
        queued
    }

    /// The value of [`MemberOptions::data`](super::MemberOptions::data). `None` if there is none, or of another type.
    #[must_use]
    pub fn data<T: Any>(&self) -> Option<&T> {
        self.0.data.as_deref()?.downcast_ref()
    }
}

impl Shared {
    pub(super) fn new(
        topics: Topics,
        delivery: Arc<Delivery>,
        (id, slot): (MemberId, Slot),
        limits: MemberLimits,
        options: super::MemberOptions,
    ) -> Self {
        let super::MemberOptions { data, slow } = options;
        let (list, missed) = (Mutex::default(), AtomicU64::new(0));
        Self { id, topics, delivery, slot, limits, slow, data, list, missed }
    }

    pub(super) fn lock(&self) -> Locked<'_, Subscriptions> {
        Locked::new(|| self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The member's place is about to be freed. Called under the lock of the list.
    pub(super) fn note_missed(&self) {
        self.missed.store(self.delivery.missed(self.slot), Ordering::Relaxed);
    }
}

/// The data belongs to the application.
impl Drop for Shared {
    fn drop(&mut self) {
        // The panic hook has reported a panic.
        let data = self.data.take();
        let _ = guarded(move || drop(data));
    }
}

/// Shows the id only.
impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id()).finish_non_exhaustive()
    }
}
