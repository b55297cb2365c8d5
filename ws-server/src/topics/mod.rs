//! Topics: publish and subscribe for connections.
//!
//! A connection [joins](Topics::join) and is a [`Member`] then. A member subscribes to topics, which are named by
//! strings, and gets what is published to them. A topic is created when it is used, and freed once it has neither
//! members nor a history.
//!
//! ```no_run
//! use ws_server::Server;
//!
//! # async fn run() -> std::io::Result<()> {
//! let server = Server::bind("127.0.0.1:9001").await?;
//! let topics = server.topics().clone();
//! server
//!     .serve(move |mut ws, _request| {
//!         let topics = topics.clone();
//!         async move {
//!             let Ok(member) = topics.join(&ws.sender()) else { return };
//!             if member.subscribe("room:1").is_err() {
//!                 return;
//!             }
//!             while let Some(message) = ws.recv().await {
//!                 // To all others. It is only refused while the server cannot keep up.
//!                 let _ = member.publish("room:1", message);
//!             }
//!         }
//!     })
//!     .await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Handler`](crate::Handler) has the same in its callbacks, for the topics of its server:
//!
//! ```
//! use ws_server::{Conn, Handler, MessageRef, Rejection, Request};
//!
//! struct Chat {
//!     room: String,
//! }
//!
//! impl Handler for Chat {
//!     type Context = ();
//!
//!     fn accept(request: &mut Request, _context: &()) -> Result<Self, Rejection> {
//!         Ok(Self { room: request.path().to_owned() })
//!     }
//!
//!     fn on_open(&mut self, conn: &mut Conn<'_>) {
//!         if let Err(error) = conn.subscribe(&self.room) {
//!             let _ = conn.send_text(error.to_string());
//!         }
//!     }
//!
//!     fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
//!         let _ = conn.publish(&self.room, message.into_message());
//!     }
//! }
//! ```
//!
//! # What is promised
//!
//! - A member gets the publications of one publisher in their order, over all topics, and in order with what is sent on
//!   its connection directly. [`SlowPolicy::latest_per_key`] is the exception.
//! - All members of a topic with a [history](TopicOptions::history) see its publications in the order of their offsets.
//!   A member that subscribes [from a position](SubscribeOptions::from) gets each publication behind it exactly once.
//!   One that subscribes [from the oldest](SubscribeOptions::from_oldest) gets all that are kept.
//! - A publisher never waits for a member. What waits for a member is bounded by a [`SlowPolicy`].
//! - Memory is bounded: names, topics, histories, presence data, and what waits, have limits
//!   ([`TopicsBuilder`]).
//! - A membership ends with its connection, however that ends.
//!
//! Publishing is not reliable delivery: a member whose connection breaks does not get what was written last. Use a
//! history with a [`Stamp`], so that the peer can name the last position that it has when it comes back.
//!
//! # Where to read on
//!
//! | to | use |
//! |---|---|
//! | decide who may subscribe | [`TopicsBuilder::authorize`], [`MemberOptions::data`] |
//! | choose what a slow member misses, or that it is closed | [`SlowPolicy`] |
//! | let a peer recover what it missed | [`History`], [`Stamp`], [`Position`], [`SubscribeOptions::from`], [`Recovered`] |
//! | show who is there | [`SubscribeOptions::presence`], [`Topics::presence`], [`Topics::events`] |
//! | give topics different settings | [`TopicsBuilder::options_by_name`] |
//! | connect a broker | [`Topics::append`], [`Topics::reset`], [`Topics::events`] |
//! | use connections that no server of this crate runs | [`Topics::new`], [`Topics::join`] with their [`Sender`](crate::Sender) |
//!
//! [`Server::topics`](crate::Server::topics) are a server's own topics, with the default settings.
//! [`ServerBuilder::topics_with`](crate::ServerBuilder::topics_with) changes them.
//! [`ServerBuilder::topics`](crate::ServerBuilder::topics) gives one [`Topics`] to several servers.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use ws_proto::memory::MemoryBudget;

mod append;
mod broker;
mod builder;
mod deliveries;
#[cfg_attr(
    not(any(target_os = "linux", test)),
    expect(dead_code, reason = "only the reactor has shards with a delivery")
)]
mod delivery;
mod directory;
mod error;
mod event;
mod events;
mod expiry;
mod history;
mod hooks;
mod join;
mod member;
mod options;
mod outcome;
mod position;
mod presence;
mod publication;
mod publish;
mod room;
mod slow;
mod stamp;
mod subscribe;
mod subscriptions;
mod targets;
#[cfg(test)]
mod tests;
mod topic;

pub(crate) use delivery::Delivery;
#[cfg(target_os = "linux")]
pub(crate) use delivery::{Due, Singles};

#[doc(hidden)]
pub use broker::{LogPart, PublishParts};
pub use builder::TopicsBuilder;
pub use error::{AppendError, Denied, JoinError, PublishError, SubscribeError};
pub use event::TopicEvent;
pub use events::TopicEvents;
pub use member::Member;
#[doc(hidden)]
pub use options::Beginning;
pub use options::{History, MemberOptions, PublishOptions, SubscribeOptions, TopicOptions};
pub use outcome::{Appended, Published, Recovered, Subscribed};
pub use position::{ParsePositionError, Position};
pub use presence::Present;
pub use publication::MemberId;
pub use slow::SlowPolicy;
pub use stamp::Stamp;

use builder::Limits;
use deliveries::Deliveries;
use directory::{Directory, DirectoryFull};
use error::BadName;
use events::Events;
use expiry::Expiry;
use hooks::Hooks;
use publication::TopicId;
use room::{Charge, Ledger, Ready, Room};
use topic::{State, TOPIC_OVERHEAD, Topic};

/// Topics of connections: names, members, histories. Clones are handles to the same topics.
#[derive(Clone)]
pub struct Topics(Arc<Inner>);

struct Inner {
    options: Arc<TopicOptions>,
    hooks: Hooks,
    limits: Limits,
    directory: Directory,
    deliveries: Deliveries,
    events: Arc<Events>,
    expiry: Expiry,
    room: Arc<Room>,
    /// `None` without a memory budget.
    ledger: Option<Arc<Ledger>>,
    /// The last number that a topic got.
    last_topic: AtomicU64,
    /// Draws epochs.
    random: RandomState,
}

impl Topics {
    /// Topics with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::with(TopicsBuilder::default())
    }

    /// Settings for topics, with the defaults.
    pub fn builder() -> TopicsBuilder {
        TopicsBuilder::default()
    }

    /// The topics that a server makes for itself.
    pub(crate) fn of_server(budget: Option<&MemoryBudget>) -> Self {
        Self::with(TopicsBuilder::default().budget_unless_set(budget))
    }

    /// The settings are valid.
    fn with(builder: TopicsBuilder) -> Self {
        let TopicsBuilder { options, hooks, limits, max_waiting_bytes, budget } = builder;
        Self(Arc::new(Inner {
            options: Arc::new(options),
            hooks,
            limits,
            directory: Directory::new(limits.topics),
            events: Arc::default(),
            expiry: Expiry::new(),
            room: Room::new(max_waiting_bytes),
            ledger: budget.as_ref().map(Ledger::new),
            deliveries: Deliveries::new(budget),
            last_topic: AtomicU64::new(0),
            random: RandomState::new(),
        }))
    }

    /// Waits until publishing has room again after [`PublishError::Full`]: until half of
    /// [`max_waiting_bytes`](TopicsBuilder::max_waiting_bytes) is free.
    ///
    /// # Cancel safety
    /// Safe. Dropping the future loses nothing.
    pub async fn ready(&self) {
        Ready::new(&self.0.room).await;
    }

    /// The members of a topic in this process.
    #[must_use]
    pub fn member_count(&self, topic: &str) -> usize {
        self.0.look(topic, |state| state.targets.members()).unwrap_or(0)
    }

    /// The topics that have members or a history.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.0.expire_all();
        self.0.directory.len()
    }

    /// Whether a topic has members or a history.
    #[must_use]
    pub fn contains(&self, topic: &str) -> bool {
        self.0.look(topic, |_| ()).is_some()
    }

    /// The names of all topics that have members or a history, in no order.
    #[must_use]
    pub fn topic_names(&self) -> Vec<Arc<str>> {
        self.0.expire_all();
        self.0.directory.all().iter().map(|topic| Arc::clone(&topic.name)).collect()
    }

    /// The members that show themselves in a topic, in the order of their ids.
    #[must_use]
    pub fn presence(&self, topic: &str) -> Vec<Present> {
        let present = self.0.look(topic, |state| {
            state.presence().map(|(member, data)| Present { member, data: data.clone() }).collect()
        });
        present.unwrap_or_default()
    }

    /// The newest position of a topic. `None` if the topic does not exist, or if its publications are not numbered.
    #[must_use]
    pub fn position(&self, topic: &str) -> Option<Position> {
        self.0.look(topic, |state| state.log.position()).flatten()
    }

    /// Receives what happens to topics and members from now on. Each receiver gets all events.
    #[must_use]
    pub fn events(&self) -> TopicEvents {
        self.0.events.receive()
    }
}

impl Topics {
    /// Adds the delivery of a reactor's shard. `wake` wakes the reactor.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only the reactor has a delivery of its own")
    )]
    pub(crate) fn add_shard(&self, shard: u32, wake: Waker) -> Arc<Delivery> {
        self.0.deliveries.add_local(shard, wake)
    }

    /// Removes the delivery of a shard that ends.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only the reactor has a delivery of its own")
    )]
    pub(crate) fn remove_shard(&self, shard: u32) {
        self.0.deliveries.remove_local(shard);
    }

    /// Publications that members did not get because they were too slow.
    pub(crate) fn missed(&self) -> u64 {
        self.0.deliveries.missed()
    }
}

impl Inner {
    fn new_epoch(&self) -> u64 {
        // 53 bits, which the numbers of JavaScript hold. Topics have different numbers.
        (self.random.hash_one(self.last_topic.fetch_add(1, Ordering::Relaxed)) >> 11).max(1)
    }

    fn check_name(&self, name: &str) -> Result<(), BadName> {
        let limit = self.limits.topic_name;
        match name.len() {
            0 => Err(BadName::Empty),
            len if len > limit => Err(BadName::TooLong { len, limit }),
            _ => Ok(()),
        }
    }

    /// The options of a topic that does not exist. Runs a function of the application.
    fn options_of(&self, name: &str) -> Arc<TopicOptions> {
        self.hooks.options(name).map_or_else(|| Arc::clone(&self.options), Arc::new)
    }

    /// The topic of this name. If there is none, it is created.
    fn create(&self, name: &str, options: &Arc<TopicOptions>) -> Result<Arc<Topic>, DirectoryFull> {
        let make = |name: Arc<str>| {
            let id = TopicId(self.last_topic.fetch_add(1, Ordering::Relaxed));
            let charge = self.charge(TOPIC_OVERHEAD + name.len());
            Topic::new(id, name, Arc::clone(options), charge)
        };
        loop {
            let topic = self.directory.get_or_insert(name, make);
            // Topics whose histories are too old take room.
            if topic.is_ok() || !self.expire_few() {
                return topic;
            }
        }
    }

    /// Looks at a topic, if it has members or a history.
    fn look<T>(&self, name: &str, f: impl FnOnce(&State) -> T) -> Option<T> {
        let topic = self.directory.get(name)?;
        let mut state = topic.lock()?;
        state.expire(topic.now());
        if !state.free_if_unused() {
            return Some(f(&state));
        }
        drop(state);
        self.directory.remove(&topic);
        None
    }

    fn free_if_unused(&self, topic: &Arc<Topic>) {
        if topic.lock().is_some_and(|mut state| state.free_if_unused()) {
            self.directory.remove(topic);
        }
    }

    fn charge(&self, bytes: usize) -> Charge {
        self.ledger.as_ref().map(|ledger| ledger.charge(bytes)).unwrap_or_default()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.events.close();
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("topics", &self.0.directory.len()).finish_non_exhaustive()
    }
}
