//! A model of the topics of a process: naive, and on demand full.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use ws_server::topics::{AppendError, MemberId, PublishError, TopicEvent};

use crate::{
    Position,
    cluster::local::{Delivery, Local, LocalEvents},
};

#[derive(Clone, Default)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    has_room: Arc<Notify>,
}

#[derive(Default)]
struct State {
    topics: HashMap<Arc<str>, Topic>,
    /// What each member got.
    inboxes: BTreeMap<u64, Vec<Got>>,
    listeners: Vec<mpsc::UnboundedSender<TopicEvent>>,
    is_full: bool,
    epochs: u64,
    keeps: Option<usize>,
}

struct Topic {
    members: BTreeMap<u64, Option<Bytes>>,
    history: VecDeque<(Position, Delivery)>,
    /// The history is complete behind it.
    start: Position,
    newest: Position,
    is_numbered: bool,
}

/// A publication that a member got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) topic: Arc<str>,
    pub(super) position: Option<Position>,
    pub(super) text: String,
}

/// What a member recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovered {
    All(usize),
    Gap,
    Ahead,
    OtherEpoch,
    NotAsked,
}

impl Fake {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Keeps at most this many entries of each topic.
    pub(super) fn keep(&self, entries: usize) {
        self.lock().keeps = Some(entries);
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
        if !is_full {
            self.has_room.notify_waiters();
        }
    }

    pub(super) fn join(&self, member: u64, topic: &str) {
        self.lock().join(member, topic, None);
    }

    pub(super) fn join_with_presence(&self, member: u64, topic: &str, data: &'static str) {
        self.lock().join(member, topic, Some(data.into()));
    }

    pub(super) fn join_at(
        &self,
        member: u64,
        topic: &str,
        at: Option<Position>,
        since: Option<Position>,
    ) -> Recovered {
        let mut state = self.lock();
        state.join(member, topic, None);
        state.topic(topic).begin(at);
        since.map_or(Recovered::NotAsked, |since| state.recover(member, topic, since))
    }

    pub(super) fn leave(&self, member: u64, topic: &str) {
        self.lock().leave(member, topic);
    }

    pub(super) fn got(&self, member: u64) -> Vec<Got> {
        self.lock().inboxes.get(&member).cloned().unwrap_or_default()
    }

    pub(super) fn texts(&self, member: u64) -> Vec<String> {
        self.got(member).into_iter().map(|got| got.text).collect()
    }
}

impl State {
    fn tell(&mut self, event: &TopicEvent) {
        self.listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    fn topic(&mut self, name: &str) -> &mut Topic {
        let Self { topics, epochs, .. } = self;
        topics.entry(name.into()).or_insert_with(|| {
            *epochs += 1;
            // No epoch of a broker is like this.
            let newest = Position { epoch: u64::MAX - *epochs, offset: 0 };
            Topic {
                members: BTreeMap::new(),
                history: VecDeque::new(),
                start: newest,
                newest,
                is_numbered: false,
            }
        })
    }

    fn join(&mut self, member: u64, topic: &str, presence: Option<Bytes>) {
        self.inboxes.entry(member).or_default();
        let members = &mut self.topic(topic).members;
        let is_first = members.is_empty();
        members.insert(member, presence.clone());
        let topic: Arc<str> = topic.into();
        if is_first {
            self.tell(&TopicEvent::Opened { topic: Arc::clone(&topic) });
        }
        if let Some(presence) = presence {
            self.tell(&TopicEvent::Joined { topic, member: MemberId::from_number(member), presence });
        }
    }

    fn leave(&mut self, member: u64, topic: &str) {
        let Some(presence) = self.topic(topic).members.remove(&member) else { return };
        let name: Arc<str> = topic.into();
        if presence.is_some() {
            self.tell(&TopicEvent::Left { topic: Arc::clone(&name), member: MemberId::from_number(member) });
        }
        if self.topic(topic).members.is_empty() {
            self.tell(&TopicEvent::Emptied { topic: name });
        }
        self.free(topic);
    }

    /// A topic exists while it has members or a history.
    fn free(&mut self, topic: &str) {
        if self.topics.get(topic).is_some_and(|topic| topic.members.is_empty() && topic.history.is_empty()) {
            self.topics.remove(topic);
        }
    }

    fn recover(&mut self, member: u64, name: &str, since: Position) -> Recovered {
        let topic = self.topic(name);
        if since.epoch != topic.newest.epoch {
            return Recovered::OtherEpoch;
        }
        if since.offset > topic.newest.offset {
            return Recovered::Ahead;
        }
        let behind: Vec<_> =
            topic.history.iter().filter(|(at, _)| at.offset > since.offset).cloned().collect();
        let recovered =
            if since.offset >= topic.start.offset { Recovered::All(behind.len()) } else { Recovered::Gap };
        for (position, delivery) in behind {
            self.hand(member, name, Some(position), &delivery);
        }
        recovered
    }

    fn hand(&mut self, member: u64, topic: &str, position: Option<Position>, delivery: &Delivery) {
        if delivery.except != Some(member) {
            let text = delivery.message.as_text().unwrap().to_owned();
            self.inboxes.entry(member).or_default().push(Got { topic: topic.into(), position, text });
        }
    }

    fn hand_to_all(&mut self, topic: &str, position: Option<Position>, delivery: &Delivery) -> usize {
        let members: Vec<_> = self.topic(topic).members.keys().copied().collect();
        for member in &members {
            self.hand(*member, topic, position, delivery);
        }
        members.len()
    }

    fn check_room(&self) -> Result<(), PublishError> {
        if self.is_full { Err(PublishError::Full { waiting: 1, limit: 1 }) } else { Ok(()) }
    }
}

impl Topic {
    /// A topic without publications begins at a position of the broker.
    fn begin(&mut self, at: Option<Position>) {
        if let Some(at) = at.filter(|_| !self.is_numbered) {
            (self.start, self.newest, self.is_numbered) = (at, at, true);
        }
    }

    fn trim(&mut self, keep: Option<usize>) {
        while keep.is_some_and(|keep| self.history.len() > keep) {
            if let Some((position, _)) = self.history.pop_front() {
                self.start = position;
            }
        }
    }
}

pub(super) struct Events(mpsc::UnboundedReceiver<TopicEvent>);

impl LocalEvents for Events {
    async fn recv(&mut self) -> Option<TopicEvent> {
        self.0.recv().await
    }
}

impl Local for Fake {
    type Events = Events;

    fn events(&self) -> Events {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().listeners.push(sender);
        Events(receiver)
    }

    fn publish(&self, topic: &str, delivery: Delivery) -> Result<usize, PublishError> {
        let mut state = self.lock();
        state.check_room()?;
        if delivery.is_kept && state.topics.get(topic).is_some_and(|topic| topic.is_numbered) {
            return Err(PublishError::NumberedByBroker);
        }
        if !state.topics.contains_key(topic) {
            return Ok(0);
        }
        Ok(state.hand_to_all(topic, None, &delivery))
    }

    fn append(
        &self,
        topic: &str,
        position: Position,
        previous: u64,
        delivery: Delivery,
    ) -> Result<(), AppendError> {
        let mut state = self.lock();
        state.check_room()?;
        let keeps = state.keeps;
        let entry = state.topic(topic);
        if entry.is_numbered {
            let newest = entry.newest;
            if position.epoch != newest.epoch {
                return Err(AppendError::OtherEpoch { current: newest });
            }
            assert!(position.offset > newest.offset, "{topic}: {position} again, at {newest}");
            if previous > newest.offset {
                return Err(AppendError::Gap { newest });
            }
        } else {
            entry.is_numbered = true;
            entry.start = Position { offset: previous, ..position };
        }
        entry.newest = position;
        entry.history.push_back((position, delivery.clone()));
        entry.trim(keeps);
        state.hand_to_all(topic, Some(position), &delivery);
        state.free(topic);
        Ok(())
    }

    fn reset(&self, topic: &str, position: Position) {
        let mut state = self.lock();
        if let Some(topic) = state.topics.get_mut(topic) {
            topic.history.clear();
            (topic.start, topic.newest, topic.is_numbered) = (position, position, true);
        }
        state.free(topic);
    }

    fn restore(&self, topic: &str, since: Position, until: u64, entries: Vec<(Position, Delivery)>) {
        let mut state = self.lock();
        if entries.is_empty() {
            return;
        }
        let keeps = state.keeps;
        let topic = state.topic(topic);
        topic.begin(Some(Position { offset: until, ..since }));
        let start = topic.start;
        if since.epoch != start.epoch || since.offset >= start.offset || until < start.offset {
            return;
        }
        for entry in entries.into_iter().rev().filter(|(position, _)| position.offset <= start.offset) {
            topic.history.push_front(entry);
        }
        topic.start = since;
        topic.trim(keeps);
    }

    fn keeps_since(&self, topic: &str, position: Position) -> bool {
        self.lock().topics.get(topic).is_some_and(|topic| {
            position.epoch == topic.newest.epoch
                && (topic.start.offset..=topic.newest.offset).contains(&position.offset)
        })
    }

    fn position(&self, topic: &str) -> Option<Position> {
        self.lock().topics.get(topic).map(|topic| topic.newest)
    }

    async fn ready(&self) {
        loop {
            let room = self.has_room.notified();
            if !self.lock().is_full {
                return;
            }
            room.await;
        }
    }

    fn has_members(&self, topic: &str) -> bool {
        self.lock().topics.get(topic).is_some_and(|topic| !topic.members.is_empty())
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.lock().topics.keys().cloned().collect()
    }

    fn presence(&self, topic: &str) -> Vec<(u64, Bytes)> {
        let state = self.lock();
        let members = state.topics.get(topic).into_iter().flat_map(|topic| &topic.members);
        members.filter_map(|(member, data)| Some((*member, data.clone()?))).collect()
    }
}
