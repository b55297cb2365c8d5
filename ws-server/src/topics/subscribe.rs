//! Subscribing and unsubscribing.

use std::sync::Arc;

use bytes::Bytes;
use ws_tokio::internal::count_work;

use super::{
    delivery::Command,
    error::SubscribeError,
    member::{Member, Shared},
    options::SubscribeOptions,
    outcome::{Recovered, Subscribed},
    topic::{PRESENCE_OVERHEAD, Shown, Topic},
};

impl Member {
    /// Subscribes to a topic. The member gets what is published from now on. The topic is created if it does not exist.
    /// A second subscription changes nothing.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&self, topic: &str) -> Result<Subscribed, SubscribeError> {
        self.subscribe_with(topic, SubscribeOptions::new())
    }

    /// As [`subscribe`](Self::subscribe), with options. A second subscription sets the presence, if the options have
    /// one, and changes nothing else.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe_with(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Subscribed, SubscribeError> {
        let hub = &*self.0.topics.0;
        hub.check_name(topic)?;
        if let Some(data) = &options.presence
            && data.len() > hub.limits.presence
        {
            return Err(SubscribeError::PresenceTooLong { len: data.len(), limit: hub.limits.presence });
        }
        hub.hooks.authorize(self, topic).map_err(SubscribeError::Denied)?;
        let presence = options.presence.as_ref().map(|data| Bytes::copy_from_slice(data));
        hub.expire_few();
        loop {
            let found =
                hub.directory.get(topic).map_or_else(|| hub.create(topic, &hub.options_of(topic)), Ok);
            let topic = found.map_err(|full| SubscribeError::TooManyTopicsInAll { limit: full.limit })?;
            match self.0.subscribe(&topic, &options, presence.clone()) {
                Ok(Some(subscribed)) => {
                    self.0.delivery.kick();
                    let recovered = subscribed.recovered.messages();
                    if recovered > 0 {
                        // Few of these messages fill a turn.
                        count_work(recovered);
                        // A list of what is recovered waits with the command. Lists must not pile up.
                        self.0.delivery.execute();
                    }
                    return Ok(subscribed);
                }
                Ok(None) => hub.directory.remove(&topic),
                Err(error) => {
                    hub.free_if_unused(&topic);
                    return Err(error);
                }
            }
        }
    }

    /// Ends a subscription. What was published before and waits is not delivered any more. Returns whether there was
    /// one.
    #[expect(clippy::must_use_candidate, reason = "the effect matters")]
    pub fn unsubscribe(&self, topic: &str) -> bool {
        let mut list = self.0.lock();
        let Some(topic) = list.remove(topic) else { return false };
        let is_freed = self.0.unsubscribe(&topic);
        drop(list);
        self.0.after_unsubscribe(&topic, is_freed);
        self.0.delivery.kick();
        true
    }

    /// Ends all subscriptions. The connection stays a member, and can subscribe again.
    pub fn leave(&self) {
        let mut list = self.0.lock();
        let topics = list.take();
        let freed: Vec<_> = topics.iter().map(|topic| self.0.unsubscribe(topic)).collect();
        drop(list);
        topics.iter().zip(freed).for_each(|(topic, is_freed)| self.0.after_unsubscribe(topic, is_freed));
        self.0.delivery.kick();
    }
}

impl Shared {
    /// `None`: the topic is freed.
    fn subscribe(
        &self,
        topic: &Arc<Topic>,
        options: &SubscribeOptions,
        presence: Option<Bytes>,
    ) -> Result<Option<Subscribed>, SubscribeError> {
        let hub = &*self.topics.0;
        let mut list = self.lock();
        if list.is_over() {
            return Err(SubscribeError::Closed);
        }
        let is_new = !list.contains(&topic.name);
        let limit = hub.limits.topics_per_member;
        if is_new && list.len() >= limit {
            return Err(SubscribeError::TooManyTopics { limit });
        }
        let now = topic.now();
        let Some(mut state) = topic.lock() else { return Ok(None) };
        let mut recovered = Recovered::NotAsked;
        if is_new {
            if let Some(limit) = topic.options.max_members
                && state.targets.members() >= limit
            {
                return Err(SubscribeError::TooManyMembers { limit });
            }
            state.expire(now);
            if let Some(position) = options.begins_at {
                state.log.begin_at(position);
            }
            state.log.begin(|| hub.new_epoch());
            let mut publications = Vec::new();
            if let Some(from) = options.from {
                (recovered, publications) = state.log.recover(from);
            }
            state.add_member(topic, &self.delivery, &hub.events);
            list.insert(Arc::clone(topic));
            let slow = options.slow.or(self.slow).unwrap_or(topic.options.slow);
            self.delivery.push(Command::Subscribe {
                slot: self.slot,
                topic: topic.id,
                slow: slow.within(self.limits.messages, self.limits.bytes),
                recovered: publications,
            });
        }
        if let Some(data) = presence {
            let _charge = hub.charge(PRESENCE_OVERHEAD + data.len());
            state.show(topic, self.id, Shown { data, _charge }, &hub.events);
        }
        let (position, members) = (state.log.position(), state.targets.members());
        Ok(Some(Subscribed { position, recovered, members, is_new }))
    }

    /// Under the lock of the member's list. Returns whether the topic is freed.
    fn unsubscribe(&self, topic: &Arc<Topic>) -> bool {
        let Some(mut state) = topic.lock() else { return false };
        state.remove_member(topic, self.id, &self.delivery, &self.topics.0.events);
        self.delivery.push(Command::Unsubscribe { slot: self.slot, topic: topic.id });
        state.expire(topic.now());
        state.free_if_unused()
    }

    fn after_unsubscribe(&self, topic: &Arc<Topic>, is_freed: bool) {
        if is_freed {
            self.topics.0.directory.remove(topic);
        }
    }

    /// The connection is over: ends all subscriptions, for good.
    pub(super) fn end(&self) {
        let mut list = self.lock();
        if list.is_over() {
            return;
        }
        let topics = list.end();
        self.note_missed();
        let hub = &*self.topics.0;
        for topic in &topics {
            if let Some(mut state) = topic.lock() {
                state.remove_member(topic, self.id, &self.delivery, &hub.events);
                state.expire(topic.now());
            }
        }
        drop(list);
        self.delivery.remove_member(self.slot);
        topics.iter().for_each(|topic| hub.free_if_unused(topic));
    }
}
