//! What a connection asks for, and what it gets.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{
    super::requests::{Addition, Answer, Request},
    Change, Ended, Link, Order, Report,
};
use crate::{
    event::{BackplaneEvent, Topics},
    redis::{
        log::{self, Payload},
        names::slot,
        random,
        wire::{Incoming, encode},
    },
};

/// Most topics that are subscribed at once, and the longest pause between such batches.
const BATCH: usize = 512;
const BATCH_PAUSE: Duration = Duration::from_millis(2);
/// What the buffer may keep, in bytes.
const KEEP: usize = 1024 * 1024;

impl Link {
    /// Sends the next orders of one kind. A server of a cluster takes only channels of one slot in a request.
    pub(super) fn send_batch(&mut self, now: Instant) {
        let is_addition = matches!(self.orders.front(), Some(Order::Add(_)));
        let same = |order: &&Order| matches!(order, Order::Add(_)) == is_addition;
        let count = self.orders.iter().take(BATCH).take_while(same).count();
        let mut batch: Vec<(u16, String, Order)> = self
            .orders
            .drain(..count)
            .map(|order| {
                let (Order::Add(Addition { topic, .. }) | Order::Remove(topic)) = &order;
                let channel = self.context.names.channel(topic);
                (if self.sharded { slot(&channel) } else { 0 }, channel, order)
            })
            .collect();
        // Stable: two orders for the same topic stay in order.
        batch.sort_by_key(|(slot, ..)| *slot);
        let (plain, sharded) =
            if is_addition { ("SUBSCRIBE", "SSUBSCRIBE") } else { ("UNSUBSCRIBE", "SUNSUBSCRIBE") };
        while let Some((slot, ..)) = batch.first() {
            let slot = *slot;
            let rest = batch.split_off(batch.iter().take_while(|(other, ..)| *other == slot).count());
            let (channels, orders): (Vec<_>, Vec<_>) = std::mem::replace(&mut batch, rest)
                .into_iter()
                .map(|(_, channel, order)| (channel, order))
                .unzip();
            self.send(if self.sharded { sharded } else { plain }, &channels);
            let request = self.request(is_addition, orders);
            self.requests.push(request, now);
        }
        self.next_batch = if self.orders.is_empty() { now } else { now + random::below(BATCH_PAUSE) };
    }

    fn request(&mut self, is_addition: bool, orders: Vec<Order>) -> Request {
        if is_addition {
            let additions = orders.into_iter().filter_map(|order| match order {
                Order::Add(addition) => Some(addition),
                Order::Remove(_) => None,
            });
            let additions: VecDeque<Addition> = additions.collect();
            self.topics.extend(additions.iter().map(|addition| Arc::clone(&addition.topic)));
            return Request::Add(additions);
        }
        let topics = orders.into_iter().map(|order| match order {
            Order::Add(Addition { topic, .. }) | Order::Remove(topic) => topic,
        });
        let topics: VecDeque<Arc<str>> = topics.collect();
        for topic in &topics {
            self.topics.remove(topic);
        }
        Request::Remove(topics)
    }

    pub(super) fn send(&mut self, command: &str, channels: &[String]) {
        let mut words = Vec::with_capacity(1 + channels.len());
        words.push(command.as_bytes());
        words.extend(channels.iter().map(String::as_bytes));
        encode(&mut self.out, words.into_iter());
    }

    /// Takes all frames that are whole.
    pub(super) fn receive(&mut self) -> Result<(), Ended> {
        while let Some(incoming) = self.frames.next()? {
            match incoming {
                Incoming::Message { channel, payload } => self.deliver(&channel, &payload),
                Incoming::Subscribed(channel) => self.subscribed(&channel)?,
                Incoming::Unsubscribed(channel) => self.unsubscribed(&channel),
                Incoming::Error(error) => self.failed(error)?,
                Incoming::Other => {}
            }
        }
        if self.frames.buffer.is_empty() && self.frames.buffer.capacity() > KEEP {
            self.frames.buffer = BytesMut::new();
        }
        self.push_gaps();
        if !self.changes.is_empty() {
            let changes = std::mem::take(&mut self.changes);
            self.report(Report::Changes(changes));
        }
        Ok(())
    }

    fn deliver(&mut self, channel: &[u8], payload: &Bytes) {
        if self.probe.is_on(channel) {
            if self.probe.heard(payload, Instant::now()) {
                self.report(Report::Heard);
            }
            return;
        }
        let topic = self.context.names.topic(channel).and_then(|topic| self.topics.get(topic)).cloned();
        let (Some(topic), Some(payload)) = (topic, log::payload(payload)) else { return };
        // A gap is in front of what comes behind it.
        self.push_gaps();
        self.context.events.push(match payload {
            Payload::Live(envelope) => BackplaneEvent::Live { topic, envelope },
            Payload::Logged { position, envelope } => {
                let previous = position.offset.checked_sub(1);
                BackplaneEvent::Logged { topic, position, previous, envelope }
            }
        });
    }

    fn subscribed(&mut self, channel: &[u8]) -> Result<(), Ended> {
        match self.requests.subscribed(self.context.names.topic(channel)) {
            Answer::Added(Addition { topic, gap }) => {
                self.topics.insert(Arc::clone(&topic));
                self.gaps.extend(gap.map(|gap| (Arc::clone(&topic), gap)));
                self.changes.push(Change::Confirmed(topic));
                Ok(())
            }
            Answer::Probe => {
                self.probe.subscribed(Instant::now());
                Ok(())
            }
            Answer::Unknown => Err(Ended::Unexpected),
        }
    }

    fn unsubscribed(&mut self, channel: &[u8]) {
        if self.probe.is_on(channel) {
            self.probe.lost(Instant::now());
            self.context.topology.doubt();
            return;
        }
        let Some(topic) = self.context.names.topic(channel) else { return };
        // A server that loses a slot ends the subscriptions by itself.
        if !self.requests.unsubscribed(topic)
            && let Some(topic) = self.topics.take(topic)
        {
            self.changes.push(Change::Moved(topic));
        }
    }

    fn failed(&mut self, error: String) -> Result<(), Ended> {
        let code = error.split(' ').next().unwrap_or_default();
        let is_temporary =
            matches!(code, "MOVED" | "ASK" | "CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "MASTERDOWN");
        match self.requests.failed() {
            Some(Request::Add(additions)) => {
                let error: Arc<str> = error.as_str().into();
                for Addition { topic, .. } in additions {
                    self.topics.remove(&topic);
                    self.changes.push(match is_temporary {
                        true => Change::Moved(topic),
                        false => Change::Refused(topic, Arc::clone(&error)),
                    });
                }
            }
            // The slot has moved, and the subscriptions have ended with that.
            Some(Request::Remove(_)) => {}
            Some(Request::Probe) if is_temporary => {
                self.probe.lost(Instant::now());
                self.context.topology.doubt();
            }
            Some(Request::Probe) | None => return Err(Ended::Refused(error)),
        }
        Ok(())
    }

    /// Reports topics that are subscribed again.
    fn push_gaps(&mut self) {
        while let Some(&(_, cause)) = self.gaps.first() {
            let (same, rest): (Vec<_>, Vec<_>) = self.gaps.drain(..).partition(|(_, other)| *other == cause);
            self.gaps = rest;
            let topics = Topics::Some(same.into_iter().map(|(topic, _)| topic).collect());
            self.context.events.push(BackplaneEvent::Gap { topics, cause });
        }
    }
}
