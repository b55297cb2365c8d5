//! The rooms: their topics, who is in them, and what is published to them.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use ws_server::{
    protocol::MemoryBudget,
    topics::{
        History, Member, MemberId, Position, PublishOptions, Recovered, SlowPolicy, Stamp, SubscribeError,
        SubscribeOptions, TopicOptions, Topics,
    },
};

use crate::{
    backplane::{Backplane, Change, Refused, Unreachable},
    options::Options,
    protocol::RoomName,
};

/// The rooms that a new visitor enters.
pub(crate) const STANDING: [(&str, &str); 3] = [
    ("lobby", "Come in, say hello, stay a while"),
    ("rust", "Ownership, borrowing and what compiles"),
    ("random", "Everything that fits nowhere else"),
];

/// The most topics of this process; each room has two.
const MAX_TOPICS: usize = 4_000;

/// Topics that only the standing rooms may use, so that visitors who open many rooms do not close these to others.
const RESERVED_TOPICS: usize = 100;

/// The most rooms that a visitor is in.
pub(crate) const MAX_ROOMS: usize = 16;

const LOG: &str = "log/";
const LIVE: &str = "live/";

/// How long messages are kept.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// All messages that are kept together have about this many bytes.
const MOST_KEPT: usize = 128 * 1024 * 1024;

/// All rooms.
pub(crate) struct Rooms {
    backplane: Backplane,
}

/// What a visitor has entered.
pub(crate) struct Entered {
    pub(crate) position: Option<Position>,
    /// The word for the page: `fresh`, `all`, `some` or `none`.
    pub(crate) recovered: &'static str,
    /// Who is here, as JSON.
    pub(crate) here: Vec<Value>,
}

impl Rooms {
    pub(crate) fn start(options: &Options) -> io::Result<Self> {
        let history = options.history;
        let topics = Topics::builder()
            .options_by_name(move |name| topic_options(name, history))
            .max_topics_per_member(2 * MAX_ROOMS)
            .max_topics(MAX_TOPICS)
            .memory_budget(MemoryBudget::new(MOST_KEPT))
            .build()
            .map_err(io::Error::other)?;
        let is_logged = |topic: &str| topic.starts_with(LOG);
        Ok(Self { backplane: Backplane::start(topics, options, is_logged)? })
    }

    pub(crate) const fn topics(&self) -> &Topics {
        self.backplane.topics()
    }

    /// The id by which pages know a member.
    pub(crate) fn id(&self, member: MemberId) -> String {
        self.backplane.id(member)
    }

    /// Subscribes to both topics of a room. The messages behind `from` come first; without it, all that are kept.
    pub(crate) async fn enter(
        &self,
        member: &Member,
        name: &str,
        room: &RoomName,
        from: Option<Position>,
    ) -> Result<Entered, Refused> {
        self.leave(member, room);
        if self.is_one_too_many(room) {
            return Err(Refused::Here(SubscribeError::TooManyTopicsInAll { limit: MAX_TOPICS }));
        }
        let presence = json!({ "id": self.id(member.id()), "name": name }).to_string();
        let options = SubscribeOptions::new().presence(Bytes::from(presence));
        self.backplane.subscribe(member, &live(room), options).await?;
        let subscribed = match self.subscribe_log(member, &log(room), from).await {
            Ok(subscribed) => subscribed,
            Err(error) => {
                self.leave(member, room);
                return Err(error);
            }
        };
        let (position, recovered) = subscribed;
        Ok(Entered { position, recovered, here: self.here(&live(room)).await })
    }

    /// Whether a room of visitors would take one of the last topics.
    fn is_one_too_many(&self, room: &RoomName) -> bool {
        let topics = self.topics();
        let is_standing = STANDING.iter().any(|(name, _)| *name == room.as_str());
        let is_new = |topic: &str| !topics.contains(topic);
        !is_standing
            && topics.topic_count() + 2 > MAX_TOPICS - RESERVED_TOPICS
            && (is_new(&log(room)) || is_new(&live(room)))
    }

    async fn subscribe_log(
        &self,
        member: &Member,
        topic: &str,
        from: Option<Position>,
    ) -> Result<(Option<Position>, &'static str), Refused> {
        let options = match from {
            Some(position) => SubscribeOptions::new().from(position),
            None => SubscribeOptions::new().from_oldest(),
        };
        let mut subscribed = self.backplane.subscribe(member, topic, options).await?;
        let recovered = match subscribed.recovered {
            _ if from.is_none() => "fresh",
            Recovered::Gap { .. } => "some",
            Recovered::OtherEpoch => {
                // The position is of a log that is lost. What there is of the new one comes in its place.
                member.unsubscribe(topic);
                let options = SubscribeOptions::new().from_oldest();
                subscribed = self.backplane.subscribe(member, topic, options).await?;
                "none"
            }
            _ => "all",
        };
        Ok((subscribed.position, recovered))
    }

    /// Whether the member was in the room.
    pub(crate) fn leave(&self, member: &Member, room: &RoomName) -> bool {
        member.unsubscribe(&log(room)) | member.unsubscribe(&live(room))
    }

    pub(crate) fn is_in(&self, member: &Member, room: &RoomName) -> bool {
        let topic = log(room);
        member.subscriptions().iter().any(|name| **name == *topic)
    }

    /// Adds a message to the log of a room.
    pub(crate) async fn say(&self, room: &RoomName, message: &Value) -> Result<(), Unreachable> {
        self.backplane.publish(&log(room), message.to_string(), None).await
    }

    /// Tells all but one in a room what is of use only now.
    pub(crate) async fn tell(&self, room: &RoomName, message: &Value, except: MemberId) {
        // What is of use only now is not repeated later.
        let _ = self.backplane.publish(&live(room), message.to_string(), Some(except)).await;
    }

    /// Tells all visitors of this process in a room who is here. Other processes tell theirs.
    async fn tell_here(&self, topic: &str, message: &Value) {
        // It fails only if the process as a whole cannot keep up; the next message has all who are here.
        let _ = self.backplane.publish_here(topic, message.to_string(), PublishOptions::new()).await;
    }

    /// Who is in a room, by its live topic.
    async fn here(&self, topic: &str) -> Vec<Value> {
        let present = self.backplane.presence(topic).await;
        present.iter().filter_map(|data| serde_json::from_slice(data).ok()).collect()
    }

    /// Tells each room who is here, if that has changed since the last time.
    async fn tell_all(&self, told: &mut HashMap<Arc<str>, Vec<Value>>) {
        let topics = self.topics().topic_names();
        told.retain(|topic, _| topics.contains(topic));
        for topic in topics {
            let Some(room) = topic.strip_prefix(LIVE) else { continue };
            let here = self.here(&topic).await;
            if told.get(&topic) != Some(&here) {
                self.tell_here(&topic, &json!({ "type": "here", "room": room, "here": here })).await;
                told.insert(topic, here);
            }
        }
    }

    pub(crate) async fn leave_cluster(&self) {
        self.backplane.shut_down().await;
    }
}

/// Tells the rooms who comes and goes, until the topics end.
pub(crate) async fn tell_presence(rooms: Arc<Rooms>) {
    let mut changes = rooms.backplane.changes();
    let mut told: HashMap<Arc<str>, Vec<Value>> = HashMap::new();
    while let Some(change) = changes.next().await {
        match change {
            Change::Joined { topic, person } => {
                let Some(room) = topic.strip_prefix(LIVE) else { continue };
                let person: Value = serde_json::from_slice(&person).unwrap_or_default();
                let joined =
                    json!({ "type": "joined", "room": room, "id": person["id"], "name": person["name"] });
                rooms.tell_here(&topic, &joined).await;
            }
            Change::Left { topic, id } => {
                let Some(room) = topic.strip_prefix(LIVE) else { continue };
                rooms.tell_here(&topic, &json!({ "type": "left", "room": room, "id": id })).await;
            }
            Change::Some => rooms.tell_all(&mut told).await,
        }
    }
}

fn topic_options(name: &str, history: usize) -> TopicOptions {
    if !name.starts_with(LOG) {
        // Who joins and who writes is soon of no use. A page that is too slow gets only the newest.
        return TopicOptions::new().slow(SlowPolicy::drop_oldest().max_messages(256));
    }
    // A page that is too slow for the log is disconnected. It comes back with its position and misses nothing.
    let history = History::new(history).max_bytes(256 * 1024).max_age(KEPT_FOR);
    TopicOptions::new().history(history).stamp(Stamp::json("at", "data"))
}

fn log(room: &RoomName) -> String {
    format!("{LOG}{room}")
}

fn live(room: &RoomName) -> String {
    format!("{LIVE}{room}")
}
