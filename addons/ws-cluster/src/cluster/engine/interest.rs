//! Tells the broker what to deliver: changes are gathered, one request at a time.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Done, Engine, Refusal, tracked::Watch};
use crate::{
    BackplaneError, Interest,
    cluster::{events::ClusterEvent, local::Local, shared::guarded},
};

/// Most topics of one request.
const LARGEST_BATCH: usize = 4096;

/// A request may watch thousands of topics.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the broker is to be told.
#[derive(Debug)]
pub(super) struct Wishes {
    add: Vec<Arc<str>>,
    remove: Vec<Arc<str>>,
    flush_at: Option<Instant>,
    is_asking: bool,
    failures: u32,
    /// Smaller after a refusal, to find the topic that is refused.
    batch: usize,
}

/// What the broker was told.
#[derive(Debug)]
pub(super) struct Batch {
    add: Vec<(Arc<str>, u64)>,
    remove: Vec<Arc<str>>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            add: Vec::new(),
            remove: Vec::new(),
            flush_at: None,
            is_asking: false,
            failures: 0,
            batch: LARGEST_BATCH,
        }
    }
}

impl Wishes {
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.flush_at.filter(|_| !self.is_asking)
    }

    const fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

impl<L: Local> Engine<L> {
    pub(super) fn wish_for(&mut self, topic: Arc<str>) {
        self.wishes.add.push(topic);
        self.flush_soon();
    }

    pub(super) fn wish_away(&mut self, topic: Arc<str>) {
        self.wishes.remove.push(topic);
        self.flush_soon();
    }

    fn flush_soon(&mut self) {
        let debounce = self.shared.settings.debounce;
        self.wishes.flush_at.get_or_insert_with(|| Instant::now() + debounce);
    }

    /// The broker can be reached again.
    pub(super) fn flush_now(&mut self) {
        self.wishes.failures = 0;
        if self.wishes.flush_at.is_some() {
            self.wishes.flush_at = Some(Instant::now());
        }
    }

    pub(super) fn start_watch(&mut self, now: Instant) {
        if self.wishes.is_asking || self.wishes.flush_at.is_none_or(|at| at > now) {
            return;
        }
        let batch = self.next_batch();
        self.wishes.flush_at = (!self.wishes.is_empty()).then_some(now);
        if batch.add.is_empty() && batch.remove.is_empty() {
            return;
        }
        let mut change = Interest { remove: batch.remove.clone(), ..Interest::default() };
        for (topic, _) in &batch.add {
            let is_logged = self.topics.get(topic).is_some_and(|tracked| tracked.log.is_some());
            let list = if is_logged { &mut change.add_logged } else { &mut change.add_live };
            list.push(Arc::clone(topic));
        }
        self.wishes.is_asking = true;
        let backplane = Arc::clone(&self.shared.backplane);
        self.jobs.spawn(async move {
            let result = guarded(DEADLINE, async { backplane.watch(change).await }).await;
            Done::Watched { batch, result }
        });
    }

    /// Takes the next changes, without those that are outdated.
    fn next_batch(&mut self) -> Batch {
        let size = self.wishes.batch;
        let mut batch = Batch { add: Vec::new(), remove: Vec::new() };
        while batch.remove.len() < size {
            let Some(topic) = self.wishes.remove.pop() else { break };
            if !self.topics.contains_key(&topic) {
                batch.remove.push(topic);
            }
        }
        while batch.add.len() < size {
            let Some(topic) = self.wishes.add.pop() else { break };
            let tracked = self.topics.get_mut(&topic).filter(|tracked| tracked.watch == Watch::Wanted);
            if let Some(tracked) = tracked {
                tracked.watch = Watch::Asked;
                batch.add.push((topic, tracked.generation));
            }
        }
        batch
    }

    pub(super) fn on_watched(&mut self, batch: Batch, result: Result<(), BackplaneError>) {
        self.wishes.is_asking = false;
        match result {
            Ok(()) => {
                self.wishes.failures = 0;
                self.wishes.batch = (self.wishes.batch * 2).min(LARGEST_BATCH);
                batch.add.iter().for_each(|(topic, generation)| self.activate(topic, *generation));
            }
            Err(BackplaneError::Closed) => {}
            Err(error) => self.on_watch_failed(batch, &error),
        }
    }

    fn activate(&mut self, topic: &Arc<str>, generation: u64) {
        let Some(tracked) = self.asked(topic, generation) else { return };
        tracked.watch = Watch::Active;
        if tracked.log.is_some() {
            self.fill(topic);
        } else {
            self.serve(topic);
        }
    }

    fn asked(&mut self, topic: &Arc<str>, generation: u64) -> Option<&mut super::Tracked> {
        let tracked = self.topics.get_mut(topic)?;
        (tracked.generation == generation && tracked.watch == Watch::Asked).then_some(tracked)
    }

    fn on_watch_failed(&mut self, batch: Batch, error: &BackplaneError) {
        let is_refusal = matches!(error, BackplaneError::Refused { .. } | BackplaneError::TopicName { .. });
        if is_refusal && batch.add.len() > 1 {
            // One of them is refused: find it.
            self.wishes.batch = batch.add.len() / 2;
            self.wishes.flush_at = Some(Instant::now());
        } else {
            if let (true, [(topic, _)]) = (is_refusal, batch.add.as_slice()) {
                self.refuse(topic, error);
            }
            let pause = self.jitter.backoff(self.wishes.failures);
            self.wishes.failures += 1;
            self.wishes.flush_at = Some(Instant::now() + pause);
        }
        for (topic, generation) in batch.add {
            if let Some(tracked) = self.asked(&topic, generation) {
                tracked.watch = Watch::Wanted;
                // In front: the others come first, and one that is refused holds up none of them.
                self.wishes.add.insert(0, topic);
            }
        }
        self.wishes.remove.extend(batch.remove);
    }

    fn refuse(&mut self, topic: &Arc<str>, error: &BackplaneError) {
        let reason: Arc<str> = reason_of(error).into();
        tracing::warn!(topic = &**topic, %reason, "the broker refuses to watch a topic");
        if let Some(tracked) = self.topics.get_mut(topic) {
            for waiter in tracked.waiters.drain(..) {
                let _ = waiter.reply.send(Err(Refusal(Arc::clone(&reason))));
            }
        }
        self.shared.report(ClusterEvent::CannotWatch { topic: Arc::clone(topic), reason });
    }
}

/// An error with its causes.
fn reason_of(error: &BackplaneError) -> String {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    reason
}
