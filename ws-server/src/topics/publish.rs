//! Publishing.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use ws_proto::{Message, PreparedMessage};
use ws_tokio::internal::{Foreign, run_unlocked};

use super::{
    Inner, Topics,
    delivery::{Command, Delivery},
    error::PublishError,
    expiry::EXPIRED_AT_ONCE,
    options::{PublishOptions, TopicOptions},
    outcome::Published,
    position::Position,
    publication::{PUBLICATION_OVERHEAD, Publication},
    topic::{State, Topic},
};

impl Topics {
    /// Publishes a message to all members of a topic. It never waits. A topic without members and history is not
    /// created.
    ///
    /// # Errors
    /// [`PublishError`]. Nothing was published then.
    pub fn publish(&self, topic: &str, message: impl Into<Message>) -> Result<Published, PublishError> {
        self.publish_with(topic, message, PublishOptions::new())
    }

    /// As [`publish`](Self::publish), with options.
    ///
    /// # Errors
    /// [`PublishError`]. Nothing was published then.
    pub fn publish_with(
        &self,
        topic: &str,
        message: impl Into<Message>,
        options: PublishOptions,
    ) -> Result<Published, PublishError> {
        let message = message.into();
        let result = self.0.publish(topic, Draft { message: &message, options: &options });
        run_unlocked(Foreign::Message(message));
        result
    }
}

/// The result of a publication in a topic that is not freed.
pub(super) enum Numbered {
    /// It has this position, or none.
    As(Option<Position>),
    /// It was appended before.
    Before,
}

/// What is published.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) message: &'a Message,
    pub(super) options: &'a PublishOptions,
}

impl Inner {
    fn publish(&self, name: &str, draft: Draft<'_>) -> Result<Published, PublishError> {
        let number = |topic: &Topic, state: &mut State| {
            if !draft.options.history || topic.options.history.is_none() {
                return Ok(Numbered::As(None));
            }
            if state.log.is_by_broker() {
                return Err(PublishError::NumberedByBroker);
            }
            state.log.begin(|| self.new_epoch());
            Ok(Numbered::As(state.log.next()))
        };
        let published = self.publish_numbered(name, draft, number)?;
        Ok(published.unwrap_or(Published { members: 0, position: None }))
    }

    /// Publishes with the position that `number` gives under the topic's lock. `None`: it was appended before.
    pub(super) fn publish_numbered<E: From<PublishError>>(
        &self,
        name: &str,
        draft: Draft<'_>,
        mut number: impl FnMut(&Topic, &mut State) -> Result<Numbered, E>,
    ) -> Result<Option<Published>, E> {
        self.check_name(name).map_err(PublishError::from)?;
        if !self.room.is_free() {
            return Err(PublishError::Full { waiting: self.room.used(), limit: self.room.limit() }.into());
        }
        loop {
            let Some(topic) = self.topic_to_publish(name, draft.options)? else {
                return Ok(Some(Published { members: 0, position: None }));
            };
            let now = (draft.options.deadline.is_some() || topic.options.needs_clock()).then(Instant::now);
            let publication = self.publication(&topic, draft, now);
            let Some(mut state) = topic.lock() else {
                self.directory.remove(&topic);
                continue;
            };
            let result = number(&topic, &mut state).map(|numbered| match numbered {
                Numbered::As(position) => {
                    let published = Published { members: state.targets.members(), position };
                    Some((self.push(&topic, &mut state, draft, publication, (position, now)), published))
                }
                Numbered::Before => None,
            });
            let is_freed = state.free_if_unused();
            drop(state);
            if is_freed {
                self.directory.remove(&topic);
            }
            if let Some(now) = now {
                self.expire(now, EXPIRED_AT_ONCE);
            }
            let Some((deliveries, published)) = result? else { return Ok(None) };
            deliveries.iter().for_each(|delivery| delivery.kick());
            return Ok(Some(published));
        }
    }

    /// Under the topic's lock: gives a publication to all deliveries and to the history. Returns the deliveries, to be
    /// kicked once no lock is held.
    fn push(
        &self,
        topic: &Arc<Topic>,
        state: &mut State,
        draft: Draft<'_>,
        mut publication: Arc<Publication>,
        (position, now): (Option<Position>, Option<Instant>),
    ) -> Arc<[Arc<Delivery>]> {
        // Nothing else has the publication yet.
        if let Some((position, publication)) = position.zip(Arc::get_mut(&mut publication)) {
            publication.position = Some(position);
            if let Some(stamp) = &topic.options.stamp {
                publication.set_message(prepare(stamp.apply(position, draft.message), draft.options));
            }
        }
        let deliveries = Arc::clone(state.targets.deliveries());
        let size = publication.size();
        for delivery in deliveries.iter() {
            let room = self.room.take(size);
            let publication = Arc::clone(&publication);
            delivery.push(Command::Publish { topic: topic.id, publication, room });
        }
        if let Some(now) = now.filter(|_| position.is_some()) {
            let kept = self.without_deadline(publication);
            state.log.keep(kept, now, self.ledger.as_deref());
            self.note_expiry(topic, state);
        } else if position.is_some() {
            state.log.keep_none();
        }
        deliveries
    }

    /// The topic to publish to. `None` if it does not exist and would keep nothing.
    fn topic_to_publish(
        &self,
        name: &str,
        options: &PublishOptions,
    ) -> Result<Option<Arc<Topic>>, PublishError> {
        if let Some(topic) = self.directory.get(name) {
            return Ok(Some(topic));
        }
        let topic_options = self.options_of(name);
        if !options.history || topic_options.history.is_none() {
            return Ok(None);
        }
        let topic = self.create(name, &topic_options);
        topic.map(Some).map_err(|full| PublishError::TooManyTopicsInAll { limit: full.limit })
    }

    pub(super) fn publication(
        &self,
        topic: &Topic,
        draft: Draft<'_>,
        now: Option<Instant>,
    ) -> Arc<Publication> {
        let Draft { message, options } = draft;
        let key = options.key.as_ref().map(|key| Bytes::copy_from_slice(key));
        let size = PUBLICATION_OVERHEAD + message.len() + key.as_ref().map_or(0, Bytes::len);
        let mut publication = Publication::new(prepare(message.clone(), options), self.charge(size));
        publication.key = key;
        publication.except = options.except;
        let deadline = options.deadline.or(topic.options.deadline);
        publication.deadline =
            deadline.zip(now).and_then(|(deadline, now)| now.into_std().checked_add(deadline));
        Arc::new(publication)
    }

    /// The publication for the history: a deadline is about the members of this moment.
    fn without_deadline(&self, publication: Arc<Publication>) -> Arc<Publication> {
        match publication.message() {
            Some(message) if publication.deadline.is_some() => {
                let mut kept = Publication::new(message.clone(), self.charge(publication.size()));
                kept.key.clone_from(&publication.key);
                kept.except = publication.except;
                kept.position = publication.position;
                Arc::new(kept)
            }
            _ => publication,
        }
    }
}

pub(super) fn prepare(message: Message, options: &PublishOptions) -> PreparedMessage {
    if options.may_compress { PreparedMessage::new(message) } else { PreparedMessage::uncompressed(message) }
}

impl TopicOptions {
    /// Whether publications need the current time.
    const fn needs_clock(&self) -> bool {
        self.history.is_some() || self.deadline.is_some()
    }
}
