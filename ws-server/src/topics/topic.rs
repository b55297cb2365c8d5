//! A topic: its members and its publications.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::time::Instant;
use ws_tokio::internal::Locked;

use super::{
    delivery::Delivery,
    event::TopicEvent,
    events::Events,
    history::Log,
    options::TopicOptions,
    publication::{MemberId, TopicId},
    room::Charge,
    targets::Targets,
};

/// What a topic counts in addition to its name, in bytes.
pub(super) const TOPIC_OVERHEAD: usize = 512;
/// What the presence of a member counts in addition to its data, in bytes.
pub(super) const PRESENCE_OVERHEAD: usize = 128;

/// A topic. It is in the directory until it is freed.
pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) name: Arc<str>,
    pub(super) options: Arc<TopicOptions>,
    state: Mutex<State>,
    /// Its share of the memory budget.
    _charge: Charge,
}

/// What the lock of a topic protects. Commands to deliveries and events are pushed under it, so that all see one
/// order.
pub(super) struct State {
    /// It has neither members nor a history, and is not, or not for long, in the directory. A freed topic stays so.
    is_freed: bool,
    pub(super) targets: Targets,
    pub(super) log: Log,
    /// The members that show themselves.
    presence: BTreeMap<MemberId, Shown>,
    /// Whether the expiry of the history is noted.
    pub(super) is_expiry_noted: bool,
}

/// What a member shows.
pub(super) struct Shown {
    pub(super) data: Bytes,
    /// Its share of the memory budget.
    pub(super) _charge: Charge,
}

impl Topic {
    pub(super) fn new(id: TopicId, name: Arc<str>, options: Arc<TopicOptions>, charge: Charge) -> Self {
        let state = State {
            is_freed: false,
            targets: Targets::default(),
            log: Log::new(options.history),
            presence: BTreeMap::new(),
            is_expiry_noted: false,
        };
        Self { id, name, options, state: Mutex::new(state), _charge: charge }
    }

    /// Locks the topic, unless it is freed.
    pub(super) fn lock(&self) -> Option<Locked<'_, State>> {
        let state = Locked::new(|| self.state.lock().unwrap_or_else(PoisonError::into_inner));
        (!state.is_freed).then_some(state)
    }

    /// Whether a thread has locked the topic.
    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        self.state.try_lock().is_err()
    }

    /// The current time, if the topic's history depends on it.
    pub(super) fn now(&self) -> Option<Instant> {
        self.options.history.is_some().then(Instant::now)
    }
}

impl State {
    /// Drops what is too old.
    pub(super) fn expire(&mut self, now: Option<Instant>) {
        if let Some(now) = now {
            self.log.expire(now);
        }
    }

    /// Frees the topic if it has neither members nor a history. The caller removes it from the directory then.
    pub(super) fn free_if_unused(&mut self) -> bool {
        self.is_freed = self.targets.members() == 0 && self.log.is_empty();
        self.is_freed
    }

    pub(super) fn presence(&self) -> impl Iterator<Item = (MemberId, &Bytes)> {
        self.presence.iter().map(|(member, shown)| (*member, &shown.data))
    }

    pub(super) fn add_member(&mut self, topic: &Topic, delivery: &Arc<Delivery>, events: &Events) {
        self.targets.add(delivery);
        if self.targets.members() == 1 {
            events.emit(|| TopicEvent::Opened { topic: Arc::clone(&topic.name) });
        }
    }

    /// Shows a member, or changes its data.
    pub(super) fn show(&mut self, topic: &Topic, member: MemberId, shown: Shown, events: &Events) {
        let data = shown.data.clone();
        if self.presence.get(&member).is_some_and(|old| old.data == data) {
            return;
        }
        self.presence.insert(member, shown);
        events.emit(|| TopicEvent::Joined { topic: Arc::clone(&topic.name), member, presence: data });
    }

    pub(super) fn remove_member(
        &mut self,
        topic: &Topic,
        member: MemberId,
        delivery: &Arc<Delivery>,
        events: &Events,
    ) {
        if self.presence.remove(&member).is_some() {
            events.emit(|| TopicEvent::Left { topic: Arc::clone(&topic.name), member });
        }
        self.targets.remove(delivery);
        if self.targets.members() == 0 {
            events.emit(|| TopicEvent::Emptied { topic: Arc::clone(&topic.name) });
        }
    }
}
