//! Tells the broker who is present on this node, again and again, and announces changes.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use ws_server::{Message, topics::TopicEvent};

use super::{
    events::{ClusterPresent, NodeId},
    local::{Local, LocalEvents as _},
    mode::Mode,
    shared::{Jitter, Shared, guarded},
};
use crate::{
    BackplaneError,
    envelope::{Envelope, Kind},
};

mod snapshot;

/// How long changes of a topic are gathered.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// For one announcement or one snapshot.
const DEADLINE: Duration = Duration::from_secs(2);

/// Most snapshots that are stored at a time.
const MOST_STORED: usize = 16;

/// Keeps the broker's picture of this node up to date.
pub(super) struct Herald<L: Local> {
    shared: Arc<Shared<L>>,
    events: L::Events,
    /// Topics with presence, and when their snapshot is stored next.
    due: HashMap<Arc<str>, Instant>,
    order: BTreeSet<(Instant, Arc<str>)>,
    /// After a failure, announcements rest for a moment.
    silent_until: Option<Instant>,
    jitter: Jitter,
}

impl<L: Local> Herald<L> {
    pub(super) fn new(shared: Arc<Shared<L>>) -> Self {
        let events = shared.local.events();
        let jitter = Jitter::new(shared.node.rotate_left(32));
        Self { shared, events, due: HashMap::new(), order: BTreeSet::new(), silent_until: None, jitter }
    }

    /// Runs until the topics of this process are gone.
    pub(super) async fn run(&mut self) {
        self.compare_with_local();
        loop {
            let next = self.order.first().map(|(at, _)| *at);
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => return,
                },
                () = self.shared.presence_lost.notified() => self.store_all_soon(),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => self.store_due().await,
            }
        }
    }

    /// Removes what this node has stored.
    pub(super) async fn clear(&mut self) {
        let shared = &self.shared;
        for topic in self.due.keys() {
            let ttl = shared.settings.presence_ttl;
            let removed =
                async { shared.backplane.set_presence(topic, shared.node, Bytes::new(), ttl).await };
            if guarded(DEADLINE, removed).await.is_err() {
                // It expires.
                return;
            }
        }
    }

    async fn on_event(&mut self, event: TopicEvent) {
        match event {
            TopicEvent::Joined { topic, member, presence } => {
                self.changed(&topic, Kind::Joined, member.get(), presence).await;
            }
            TopicEvent::Left { topic, member } => {
                self.changed(&topic, Kind::Left, member.get(), Bytes::new()).await;
            }
            TopicEvent::Lagged(_) => self.compare_with_local(),
            _ => {}
        }
    }

    fn compare_with_local(&mut self) {
        let now = Instant::now();
        for topic in self.shared.local.names() {
            if !self.shared.local.presence(&topic).is_empty() && self.shared.mode(&topic) != Mode::Local {
                self.store_at(&topic, now);
            }
        }
        self.store_all_soon();
    }

    fn store_all_soon(&mut self) {
        let topics: Vec<_> = self.due.keys().cloned().collect();
        for topic in topics {
            let at = Instant::now() + self.jitter.of(Duration::from_secs(1));
            self.store_at(&topic, at);
        }
    }

    async fn changed(&mut self, topic: &Arc<str>, kind: Kind, member: u64, data: Bytes) {
        if self.shared.mode(topic) == Mode::Local {
            return;
        }
        self.store_at(topic, Instant::now() + DEBOUNCE);
        self.announce(topic, kind, member, data).await;
    }

    /// Stores the topic's snapshot at that time, or earlier if that is planned.
    fn store_at(&mut self, topic: &Arc<str>, at: Instant) {
        if let Some(planned) = self.due.get(topic).copied() {
            if planned <= at {
                return;
            }
            self.order.remove(&(planned, Arc::clone(topic)));
        }
        self.plan(topic, at);
    }

    fn plan(&mut self, topic: &Arc<str>, at: Instant) {
        self.due.insert(Arc::clone(topic), at);
        self.order.insert((at, Arc::clone(topic)));
    }

    /// Tells other nodes at once. The snapshot follows in any case.
    async fn announce(&mut self, topic: &Arc<str>, kind: Kind, member: u64, data: Bytes) {
        if self.silent_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        let shared = &self.shared;
        let mut envelope = Envelope::new(kind, shared.node, shared.next_sequence(), Message::Binary(data));
        envelope.member = Some(member);
        let Ok(bytes) = envelope.encode() else { return };
        let announced = async { shared.backplane.publish_live(topic, bytes).await };
        if guarded(DEADLINE, announced).await.is_err() {
            self.silent_until = Some(Instant::now() + Duration::from_secs(1));
        }
    }

    async fn store_due(&mut self) {
        let now = Instant::now();
        let mut jobs = JoinSet::new();
        while jobs.len() < MOST_STORED {
            let Some((at, topic)) = self.order.first().filter(|(at, _)| *at <= now).cloned() else { break };
            self.order.remove(&(at, Arc::clone(&topic)));
            // Planned before the snapshot is taken: a later change plans another one.
            self.due.remove(&topic);
            let shared = Arc::clone(&self.shared);
            jobs.spawn(async move {
                let present = shared.local.presence(&topic);
                let is_empty = present.is_empty();
                let value = if is_empty { Bytes::new() } else { snapshot::encode(&present) };
                let ttl = shared.settings.presence_ttl;
                let stored = async { shared.backplane.set_presence(&topic, shared.node, value, ttl).await };
                let result = guarded(DEADLINE, stored).await;
                (topic, is_empty, result)
            });
        }
        while let Some(job) = jobs.join_next().await {
            match job {
                Ok((topic, is_empty, result)) => self.on_stored(&topic, is_empty, result),
                Err(error) => tracing::error!(%error, "a job of the cluster ended early"),
            }
        }
    }

    fn on_stored(&mut self, topic: &Arc<str>, is_empty: bool, result: Result<(), BackplaneError>) {
        let ttl = self.shared.settings.presence_ttl;
        let pause = match result {
            Ok(()) if is_empty => return,
            Ok(()) => ttl * 2 / 5,
            Err(error) => {
                tracing::debug!(topic = &**topic, %error, "presence could not be stored");
                (ttl / 8).min(Duration::from_secs(1))
            }
        };
        let at = Instant::now() + self.jitter.of(pause);
        self.store_at(topic, at);
    }
}

/// Who is in a topic, on all nodes.
pub(super) async fn read<L: Local>(
    shared: &Shared<L>,
    topic: &str,
) -> Result<Vec<ClusterPresent>, BackplaneError> {
    let stored = match shared.mode(topic) {
        Mode::Local => Vec::new(),
        _ => guarded(shared.settings.deadline, async { shared.backplane.presence(topic).await }).await?,
    };
    let here = shared.local.presence(topic);
    let mut all = Vec::with_capacity(here.len());
    let mut add = |node: u64, present: Vec<(u64, Bytes)>| {
        let node = NodeId(node);
        all.extend(present.into_iter().map(|(member, data)| ClusterPresent { node, member, data }));
    };
    // What is stored about this node is older than what it knows.
    add(shared.node, here);
    for (node, value) in stored {
        if node != shared.node {
            match snapshot::decode(&value) {
                Some(present) => add(node, present),
                None => tracing::warn!(topic, node, "a snapshot of presence cannot be read"),
            }
        }
    }
    all.sort_by_key(|present| (present.node, present.member));
    Ok(all)
}
