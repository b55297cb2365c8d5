//! Hands what the broker delivers to the topics of this process.

use std::sync::Arc;

use bytes::Bytes;
use ws_server::topics::{AppendError, PublishError};

use super::{
    Engine, Outage,
    log::{Entry, Received, Step},
    tracked::Watch,
};
use crate::{
    BackplaneEvent, GapCause, Position, Topics,
    cluster::{
        events::{ClusterEvent, NodeId, PresenceEvent},
        local::{Delivery, Local},
    },
    envelope::{Envelope, Kind},
};

impl<L: Local> Engine<L> {
    pub(super) async fn on_backplane_event(&mut self, event: BackplaneEvent) {
        match event {
            BackplaneEvent::Live { topic, envelope } => self.on_live(&topic, &envelope).await,
            BackplaneEvent::Logged { topic, position, previous, envelope } => {
                self.on_logged(&topic, Entry { position, previous, envelope }).await;
            }
            BackplaneEvent::Down => {
                self.outage.is_on = true;
                self.shared.report(ClusterEvent::Down);
            }
            BackplaneEvent::Up => self.on_up(),
            BackplaneEvent::Gap { topics: Topics::All, cause } => self.on_gap(&self.active(), cause),
            BackplaneEvent::Gap { topics: Topics::Some(topics), cause } => self.on_gap(&topics, cause),
        }
    }

    fn on_up(&mut self) {
        self.shared.report(ClusterEvent::Up);
        self.fills.resume();
        self.flush_now();
        self.shared.presence_lost.notify_one();
        let Outage { named, .. } = std::mem::take(&mut self.outage);
        let mut topics = self.active();
        // Their gap was reported when they were watched again. Logged topics are never named.
        topics.retain(|topic| !named.contains(topic));
        self.on_gap(&topics, GapCause::Disconnected);
    }

    /// Topics that the broker delivers.
    fn active(&self) -> Vec<Arc<str>> {
        let active = self.topics.iter().filter(|(_, tracked)| tracked.watch == Watch::Active);
        active.map(|(topic, _)| Arc::clone(topic)).collect()
    }

    /// Publications may be missing. Logs are read; for live topics, it is reported.
    fn on_gap(&mut self, topics: &[Arc<str>], cause: GapCause) {
        let mut live = Vec::new();
        for topic in topics {
            match self.topics.get(topic) {
                Some(tracked) if tracked.log.is_some() => self.fill(topic),
                Some(_) => live.push(Arc::clone(topic)),
                None => {}
            }
        }
        if self.outage.is_on && cause == GapCause::Disconnected {
            self.outage.named.extend(live.iter().cloned());
        }
        self.shared.report_gap(live, cause);
    }

    async fn on_live(&mut self, topic: &Arc<str>, bytes: &Bytes) {
        let Some(tracked) = self.topics.get(topic) else { return };
        let is_logged = tracked.log.is_some();
        let Some(envelope) = self.decode(topic, bytes) else { return };
        if self.shared.is_own(&envelope) {
            return;
        }
        match envelope.kind {
            Kind::Publication if is_logged && envelope.is_kept => {
                tracing::warn!(topic = &**topic, "a node publishes to a logged topic as if it were live");
                self.shared.report_gap([Arc::clone(topic)], GapCause::Unreadable);
            }
            Kind::Publication => self.publish(topic, Delivery::of(envelope, self.shared.node)).await,
            Kind::Joined | Kind::Left => self.on_presence(topic, envelope),
        }
    }

    fn on_presence(&self, topic: &Arc<str>, envelope: Envelope) {
        let (topic, node) = (Arc::clone(topic), NodeId(envelope.node));
        let Some(member) = envelope.member else { return };
        self.shared.report_presence(match envelope.kind {
            Kind::Left => PresenceEvent::Left { topic, node, member },
            _ => PresenceEvent::Joined { topic, node, member, data: envelope.message.into_bytes() },
        });
    }

    /// Reads an envelope. A format that this node does not know is a gap.
    fn decode(&self, topic: &Arc<str>, bytes: &Bytes) -> Option<Envelope> {
        Envelope::decode(bytes)
            .inspect_err(|error| {
                tracing::warn!(topic = &**topic, %error, "a publication cannot be read");
                self.shared.report_gap([Arc::clone(topic)], GapCause::Unreadable);
            })
            .ok()
    }

    async fn publish(&self, topic: &Arc<str>, delivery: Delivery) {
        loop {
            match self.shared.local.publish(topic, delivery.clone()) {
                Ok(_) => return,
                Err(PublishError::Full { .. }) => self.shared.local.ready().await,
                Err(error) => {
                    tracing::warn!(topic = &**topic, %error, "a publication of another node was refused here");
                    return self.shared.report_gap([Arc::clone(topic)], GapCause::Refused);
                }
            }
        }
    }

    async fn on_logged(&mut self, topic: &Arc<str>, entry: Entry) {
        match self.with_log(topic, |log| log.receive(entry)) {
            Some(Received::Next(entry)) => self.append(topic, entry).await,
            Some(Received::Hole) => self.fill(topic),
            Some(Received::Duplicate | Received::Held) | None => {}
        }
    }

    pub(super) async fn take_step(&mut self, topic: &Arc<str>, step: Step) {
        match step {
            Step::Append(entry) => self.append(topic, entry).await,
            Step::Reset(position) => self.reset(topic, position),
            Step::Gap(cause) => self.shared.report_gap([Arc::clone(topic)], cause),
        }
    }

    fn reset(&mut self, topic: &Arc<str>, position: Position) {
        self.shared.local.reset(topic, position);
        if let Some(tracked) = self.topics.get_mut(topic) {
            tracked.appended = Some(position);
            tracked.unreachable = None;
        }
    }

    /// Hands an entry of the log to the members of this process.
    async fn append(&mut self, topic: &Arc<str>, entry: Entry) {
        let Entry { position, previous, envelope } = entry;
        let Some(envelope) = self.decode(topic, &envelope) else { return };
        if envelope.kind != Kind::Publication {
            return;
        }
        let delivery = Delivery::of(envelope, self.shared.node);
        let mut is_second = false;
        loop {
            let appended = self.topics.get(topic).and_then(|tracked| tracked.appended);
            let directly_before = previous.unwrap_or_else(|| position.offset.saturating_sub(1));
            let at = appended.unwrap_or(Position { offset: directly_before, ..position });
            match self.shared.local.append(topic, position, at.offset, delivery.clone()) {
                Ok(()) => break,
                Err(AppendError::Publish(PublishError::Full { .. })) => self.shared.local.ready().await,
                // The topic was freed and created again, with new numbers.
                Err(AppendError::Gap { .. } | AppendError::OtherEpoch { .. }) if !is_second => {
                    is_second = true;
                    self.shared.local.reset(topic, at);
                }
                Err(error) => {
                    tracing::warn!(topic = &**topic, %error, "an entry of the log was refused here");
                    self.shared.report_gap([Arc::clone(topic)], GapCause::Refused);
                    self.shared.local.reset(topic, position);
                    break;
                }
            }
        }
        if let Some(tracked) = self.topics.get_mut(topic) {
            tracked.appended = Some(position);
        }
    }
}
