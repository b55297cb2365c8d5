//! What brokers such as `ws-cluster` need beyond the public API.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use ws_proto::Message;
use ws_tokio::internal::{Foreign, run_unlocked};

use super::{
    Inner, Topics,
    options::{Beginning, PublishOptions, SubscribeOptions},
    position::Position,
    publication::{MemberId, Publication},
    publish::{Draft, prepare},
    topic::Topic,
};

/// The settings of [`PublishOptions`].
#[doc(hidden)]
#[derive(Clone)]
pub struct PublishParts {
    pub except: Option<MemberId>,
    pub key: Option<Bytes>,
    pub deadline: Option<Duration>,
    pub history: bool,
    pub may_compress: bool,
}

#[doc(hidden)]
impl PublishOptions {
    #[must_use]
    pub fn parts(&self) -> PublishParts {
        let Self { except, key, deadline, history, may_compress } = self.clone();
        PublishParts { except, key, deadline, history, may_compress }
    }
}

#[doc(hidden)]
impl SubscribeOptions {
    #[must_use]
    pub const fn beginning(&self) -> Option<Beginning> {
        self.from
    }

    /// A topic that has no publications yet begins at this position of a broker.
    pub const fn begins_at(mut self, position: Option<Position>) -> Self {
        self.begins_at = position;
        self
    }
}

#[doc(hidden)]
impl MemberId {
    /// The id that [`get`](Self::get) gave.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// A part of a broker's log.
#[doc(hidden)]
pub struct LogPart {
    /// All publications behind this position are in it …
    pub since: Position,
    /// … up to this offset.
    pub until: u64,
    pub publications: Vec<(Position, Message, PublishOptions)>,
}

#[doc(hidden)]
impl Topics {
    /// Puts a part of a broker's log in front of what a topic keeps, as far as the limits allow and if nothing is
    /// missing between them. Members do not get it, except those that subscribe from a position later. Creates the
    /// topic if it does not exist and would keep publications.
    pub fn restore(&self, topic: &str, part: LogPart) {
        if part.publications.is_empty() || self.0.check_name(topic).is_err() {
            return;
        }
        let Some(topic) = self.0.topic_to_restore(topic) else { return };
        let drafts = part.publications.iter();
        let restored = drafts.map(|(at, message, options)| self.0.restored(&topic, *at, message, options));
        let publications = restored.collect();
        self.0.restore(&topic, part.since, part.until, publications);
    }

    /// Whether a member that subscribes from `position` gets all publications behind it.
    #[must_use]
    pub fn keeps_since(&self, topic: &str, position: Position) -> bool {
        self.0.look(topic, |state| state.log.keeps_since(position)).unwrap_or(false)
    }
}

impl Inner {
    fn topic_to_restore(&self, name: &str) -> Option<Arc<Topic>> {
        if let Some(topic) = self.directory.get(name) {
            return Some(topic);
        }
        let options = self.options_of(name);
        let _history = options.history?;
        self.create(name, &options).ok()
    }

    fn restored(
        &self,
        topic: &Topic,
        at: Position,
        message: &Message,
        options: &PublishOptions,
    ) -> Arc<Publication> {
        let options = options.clone().deadline(None);
        let draft = Draft { message, options: &options };
        let mut publication = self.publication(topic, draft, None);
        // Nothing else has the publication yet.
        if let Some(publication) = Arc::get_mut(&mut publication) {
            publication.position = Some(at);
            if let Some(stamp) = &topic.options.stamp {
                publication.set_message(prepare(stamp.apply(at, message), &options));
            }
        }
        publication
    }

    fn restore(&self, topic: &Arc<Topic>, since: Position, until: u64, publications: Vec<Arc<Publication>>) {
        let Some(mut state) = topic.lock() else { return self.directory.remove(topic) };
        let now = Instant::now();
        state.log.expire(now);
        state.log.restore(since, until, publications, now, self.ledger.as_deref());
        self.note_expiry(topic, &mut state);
        let is_freed = state.free_if_unused();
        drop(state);
        if is_freed {
            self.directory.remove(topic);
        }
    }
}

/// The payloads may have destructors of the application.
impl Drop for LogPart {
    fn drop(&mut self) {
        for (_, message, _) in self.publications.drain(..) {
            run_unlocked(Foreign::Message(message));
        }
    }
}
