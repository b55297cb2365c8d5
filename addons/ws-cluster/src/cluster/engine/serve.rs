//! Answers calls that wait until a topic is watched.

use std::sync::Arc;

use ws_server::topics::Beginning;

use super::{
    Engine, Ensure,
    jobs::Reached,
    log::Log,
    tracked::{Waiter, Watch},
};
use crate::{
    BackplaneError, Position,
    cluster::local::{Delivery, Local},
    envelope::Envelope,
};

/// What a waiter waits for.
enum Need {
    Nothing,
    /// The log must be read from here, further back than the local history.
    Reach(Position),
    /// The log must be read on: the waiter knows a later position.
    CatchUp,
}

impl<L: Local> Engine<L> {
    pub(super) fn ensure(&mut self, ensure: Ensure) {
        let Ensure { topic, mode, since, reply } = ensure;
        if !self.topics.contains_key(&topic) {
            self.track(Arc::clone(&topic), mode);
        }
        if let Some(tracked) = self.topics.get_mut(&topic) {
            tracked.waiters.push(Waiter { since, has_caught_up: false, reply });
        }
        self.serve(&topic);
        if !self.shared.local.has_members(&topic) {
            self.linger(&topic);
        }
    }

    /// Answers those that have what they need.
    pub(super) fn serve(&mut self, topic: &Arc<str>) {
        let Some(tracked) = self.topics.get_mut(topic) else { return };
        tracked.waiters.retain(|waiter| !waiter.reply.is_closed());
        let is_ready = tracked.watch == Watch::Active
            && tracked.log.as_ref().is_none_or(|log| log.at().is_some() && !log.is_filling());
        if !is_ready || tracked.waiters.is_empty() {
            return;
        }
        let mut waiting = Vec::new();
        let mut reach: Option<Position> = None;
        let mut must_catch_up = false;
        for mut waiter in std::mem::take(&mut tracked.waiters) {
            match need(&self.shared.local, topic, tracked, &waiter) {
                Need::Nothing => {
                    let _ = waiter.reply.send(Ok(tracked.watched()));
                    continue;
                }
                Need::Reach(since) => {
                    reach = Some(reach.filter(|other| other.offset < since.offset).unwrap_or(since));
                }
                Need::CatchUp => {
                    waiter.has_caught_up = true;
                    must_catch_up = true;
                }
            }
            waiting.push(waiter);
        }
        tracked.waiters = waiting;
        let reach = reach.filter(|_| !tracked.is_reaching);
        if must_catch_up {
            self.fill(topic);
        }
        if let Some(since) = reach {
            self.reach(topic, since);
        }
    }

    pub(super) fn on_reached(
        &mut self,
        topic: &Arc<str>,
        since: Position,
        result: Result<Reached, BackplaneError>,
    ) {
        let Some(tracked) = self.topics.get_mut(topic) else { return };
        tracked.is_reaching = false;
        match (result, tracked.appended) {
            (Ok(reached), Some(at)) if reached.start.epoch == at.epoch => {
                let here = self.shared.node;
                let entries = reached.entries.iter().filter_map(|entry| {
                    let envelope = Envelope::decode(&entry.envelope).ok()?;
                    Some((entry.position, Delivery::of(envelope, here)))
                });
                let entries = entries.collect();
                self.shared.local.restore(topic, reached.start, reached.until.min(at.offset), entries);
            }
            (Ok(_), _) => {}
            (Err(error), _) => {
                tracing::debug!(topic = &**topic, %error, "a log could not be read");
                self.pause_fills();
                // Those that still wait ask again.
                return self.serve(topic);
            }
        }
        if !self.shared.local.keeps_since(topic, since) {
            // Waiters get a gap. It is not read again for them.
            tracked.unreachable = Some(since);
        }
        self.serve(topic);
    }

    /// Changes a log, and counts what it holds.
    pub(super) fn with_log<T>(&mut self, topic: &Arc<str>, change: impl FnOnce(&mut Log) -> T) -> Option<T> {
        let log = self.topics.get_mut(topic)?.log.as_mut()?;
        self.held -= log.held_bytes();
        let was_anchored = log.at().is_some();
        let result = change(log);
        if self.held + log.held_bytes() > self.shared.settings.max_held {
            log.drop_held();
        }
        self.held += log.held_bytes();
        if !was_anchored && log.at().is_some() {
            self.shared.set_anchored(topic, true);
        }
        Some(result)
    }
}

fn need<L: Local>(local: &L, topic: &str, tracked: &super::Tracked, waiter: &Waiter) -> Need {
    let (Some(since), Some(at)) = (waiter.since, tracked.appended) else { return Need::Nothing };
    let since = match since {
        Beginning::Position(position) => position,
        // In front of the first entry.
        Beginning::Oldest => Position { offset: 0, ..at },
    };
    if since.epoch != at.epoch || since.offset > at.offset {
        return if waiter.has_caught_up { Need::Nothing } else { Need::CatchUp };
    }
    if since == at {
        return Need::Nothing;
    }
    let is_unreachable =
        tracked.unreachable.is_some_and(|gone| gone.epoch == since.epoch && gone.offset >= since.offset);
    if is_unreachable || local.keeps_since(topic, since) { Need::Nothing } else { Need::Reach(since) }
}
