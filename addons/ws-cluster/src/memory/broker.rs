//! The state of the broker: nodes, logs, presence.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    BackplaneError, BackplaneEvent, EventQueue, Health, History, Interest, LogEntry, LogOptions, Position,
};

#[derive(Default)]
pub(super) struct Broker {
    /// By id; `None` once a node has shut down.
    nodes: Vec<Option<Node>>,
    logs: HashMap<Arc<str>, Log>,
    presence: HashMap<Arc<str>, BTreeMap<u64, (Bytes, Instant)>>,
    last_epoch: u64,
}

pub(super) struct Node {
    pub(super) queue: EventQueue,
    /// Topic, and whether it is logged.
    watched: HashMap<Arc<str>, bool>,
    is_connected: bool,
    pub(super) is_deaf: bool,
    pub(super) is_holding: bool,
    pub(super) is_repeating: bool,
    pub(super) omits_previous: bool,
    pub(super) lose: usize,
    pub(super) delay: Duration,
    held: Vec<BackplaneEvent>,
}

struct Log {
    epoch: u64,
    /// Offsets and envelopes.
    entries: VecDeque<(u64, Bytes)>,
    newest: u64,
    expires: Option<Instant>,
}

impl Broker {
    pub(super) fn add_node(&mut self, queue: EventQueue) -> usize {
        self.nodes.push(Some(Node {
            queue,
            watched: HashMap::new(),
            is_connected: true,
            is_deaf: false,
            is_holding: false,
            is_repeating: false,
            omits_previous: false,
            lose: 0,
            delay: Duration::ZERO,
            held: Vec::new(),
        }));
        self.nodes.len() - 1
    }

    pub(super) fn remove_node(&mut self, id: usize) {
        if let Some(node) = self.nodes.get_mut(id) {
            *node = None;
        }
    }

    pub(super) fn with_node(&mut self, id: usize, change: impl FnOnce(&mut Node)) {
        self.nodes.get_mut(id).and_then(Option::as_mut).map(change);
    }

    fn node(&self, id: usize) -> Option<&Node> {
        self.nodes.get(id).and_then(Option::as_ref)
    }

    pub(super) fn delay_of(&self, id: usize) -> Duration {
        self.node(id).map_or(Duration::ZERO, |node| node.delay)
    }

    /// Whether the node can reach the broker.
    pub(super) fn check(&self, id: usize) -> Result<(), BackplaneError> {
        match self.node(id) {
            None => Err(BackplaneError::Closed),
            Some(node) if !node.is_connected => Err(BackplaneError::Disconnected { source: None }),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn health(&self, id: usize) -> Health {
        match self.node(id) {
            Some(node) if node.is_connected && node.is_deaf => Health::Deaf,
            Some(node) if node.is_connected => Health::Healthy,
            _ => Health::Disconnected,
        }
    }

    pub(super) fn disconnect(&mut self, id: usize) {
        self.with_node(id, |node| {
            if node.is_connected {
                node.is_connected = false;
                // What was on its way is lost.
                node.held.clear();
                node.queue.push(BackplaneEvent::Down);
            }
        });
    }

    pub(super) fn connect(&mut self, id: usize) {
        self.with_node(id, |node| {
            if !node.is_connected {
                node.is_connected = true;
                node.queue.push(BackplaneEvent::Up);
            }
        });
    }

    /// Returns those that were connected.
    pub(super) fn disconnect_all(&mut self) -> Vec<usize> {
        let is_connected = |id: &usize| self.node(*id).is_some_and(|node| node.is_connected);
        let connected: Vec<_> = (0..self.nodes.len()).filter(is_connected).collect();
        connected.iter().for_each(|id| self.disconnect(*id));
        connected
    }

    pub(super) fn clear(&mut self) {
        self.logs.clear();
        self.presence.clear();
    }

    pub(super) fn watch(&mut self, id: usize, change: &Interest) {
        self.with_node(id, |node| {
            for topic in &change.remove {
                node.watched.remove(topic);
            }
            let live = change.add_live.iter().map(|topic| (Arc::clone(topic), false));
            let logged = change.add_logged.iter().map(|topic| (Arc::clone(topic), true));
            node.watched.extend(live.chain(logged));
        });
    }

    pub(super) fn watched(&self, id: usize) -> Vec<Arc<str>> {
        let mut topics: Vec<_> =
            self.node(id).into_iter().flat_map(|node| node.watched.keys().cloned()).collect();
        topics.sort();
        topics
    }

    pub(super) fn publish_live(&mut self, topic: &str, envelope: &Bytes) {
        for node in self.nodes.iter_mut().flatten() {
            if let Some((topic, _)) = node.watched.get_key_value(topic) {
                let event = BackplaneEvent::Live { topic: Arc::clone(topic), envelope: envelope.clone() };
                node.deliver(event);
            }
        }
    }

    pub(super) fn publish_logged(
        &mut self,
        topic: &str,
        envelope: Bytes,
        options: &LogOptions,
        now: Instant,
    ) -> Position {
        let log = self.log(topic, now);
        let previous = log.newest;
        log.newest += 1;
        log.entries.push_back((log.newest, envelope.clone()));
        log.trim(options.max_entries);
        log.expires = Some(now + options.max_age);
        let position = log.position();
        for node in self.nodes.iter_mut().flatten() {
            let Some((topic, true)) = node.watched.get_key_value(topic) else { continue };
            let (topic, envelope) = (Arc::clone(topic), envelope.clone());
            let previous = (!node.omits_previous).then_some(previous);
            node.deliver(BackplaneEvent::Logged { topic, position, previous, envelope });
        }
        position
    }

    pub(super) fn release(&mut self, id: usize) {
        self.with_node(id, |node| {
            node.is_holding = false;
            std::mem::take(&mut node.held).into_iter().for_each(|event| node.deliver(event));
        });
    }

    pub(super) fn history(
        &mut self,
        topic: &str,
        since: Option<Position>,
        limit: usize,
        now: Instant,
    ) -> History {
        let log = self.log(topic, now);
        let since_offset = since.filter(|since| since.epoch == log.epoch).map(|since| since.offset);
        let behind = since_offset.unwrap_or(0);
        let first = log.entries.front().map_or(log.newest + 1, |(offset, _)| *offset);
        let complete = match since {
            None => true,
            Some(_) => since_offset.is_some_and(|offset| offset + 1 >= first),
        };
        let mut wanted = log.entries.iter().filter(|(offset, _)| *offset > behind);
        let entries: Vec<_> = wanted
            .by_ref()
            .take(limit)
            .map(|(offset, envelope)| {
                LogEntry::new(Position { epoch: log.epoch, offset: *offset }, envelope.clone())
            })
            .collect();
        let more = wanted.next().is_some();
        History::new(entries, log.position(), complete, more)
    }

    /// The topic's log, a new one if there is none or it has expired.
    fn log(&mut self, topic: &str, now: Instant) -> &mut Log {
        let last_epoch = &mut self.last_epoch;
        let log = self.logs.entry(topic.into()).or_insert_with(|| {
            *last_epoch += 1;
            Log { epoch: *last_epoch, entries: VecDeque::new(), newest: 0, expires: None }
        });
        if log.expires.is_some_and(|expires| expires <= now) {
            log.entries.clear();
        }
        log
    }

    pub(super) fn trim(&mut self, topic: &str, keep: usize) {
        if let Some(log) = self.logs.get_mut(topic) {
            log.trim(keep);
        }
    }

    pub(super) fn lose_newest(&mut self, topic: &str, entries: usize) {
        if let Some(log) = self.logs.get_mut(topic) {
            log.newest = log.newest.saturating_sub(entries as u64);
            let newest = log.newest;
            log.entries.retain(|(offset, _)| *offset <= newest);
        }
    }

    pub(super) fn set_presence(&mut self, topic: &str, node: u64, value: Bytes, expires: Instant) {
        let nodes = self.presence.entry(topic.into()).or_default();
        if value.is_empty() {
            nodes.remove(&node);
        } else {
            nodes.insert(node, (value, expires));
        }
        if nodes.is_empty() {
            self.presence.remove(topic);
        }
    }

    pub(super) fn presence(&mut self, topic: &str, now: Instant) -> Vec<(u64, Bytes)> {
        let Some(nodes) = self.presence.get_mut(topic) else { return Vec::new() };
        nodes.retain(|_, (_, expires)| *expires > now);
        nodes.iter().map(|(node, (value, _))| (*node, value.clone())).collect()
    }
}

impl Node {
    fn deliver(&mut self, event: BackplaneEvent) {
        if !self.is_connected {
            return;
        }
        if self.lose > 0 {
            self.lose -= 1;
            return;
        }
        if self.is_holding {
            self.held.push(event);
            return;
        }
        if self.is_repeating {
            self.queue.push(event.clone());
        }
        self.queue.push(event);
    }
}

impl Log {
    const fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.newest }
    }

    fn trim(&mut self, keep: usize) {
        let excess = self.entries.len().saturating_sub(keep);
        self.entries.drain(..excess);
    }
}
