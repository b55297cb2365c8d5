//! A backplane inside one process, for tests and for several nodes in one process.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::{
    Backplane, BackplaneError, BackplaneEvent, BackplaneEvents, BoxFuture, EventQueue, GapCause, Health,
    History, Interest, LogOptions, Position, Topics,
};

mod broker;
#[cfg(test)]
mod tests;

use broker::Broker;

/// Connects the nodes of one process. Clones are the same broker.
///
/// It keeps logs, epochs and presence as a real broker does. Its faults are commands:
/// [`restart_empty`](Self::restart_empty) here, and the methods of [`MemoryBackplane`] for a single node. With tokio's
/// paused clock, tests are deterministic.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use ws_cluster::{Backplane as _, BackplaneEvent, Interest, MemoryBroker};
///
/// let broker = MemoryBroker::new();
/// let (here, there) = (broker.node(), broker.node());
/// let mut events = there.take_events().expect("the first call");
/// let mut interest = Interest::default();
/// interest.add_live.push("news".into());
/// there.watch(interest).await.unwrap();
///
/// here.publish_live("news", "hello".into()).await.unwrap();
/// assert!(matches!(events.recv().await, Some(BackplaneEvent::Live { envelope, .. }) if envelope == "hello"));
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryBroker {
    broker: Arc<Mutex<Broker>>,
}

/// A node's connection to a [`MemoryBroker`], made with [`MemoryBroker::node`].
pub struct MemoryBackplane {
    broker: MemoryBroker,
    id: usize,
    events: Mutex<Option<BackplaneEvents>>,
}

impl MemoryBroker {
    /// A broker without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects a node. Up to 64 MiB of events wait for it.
    #[must_use]
    pub fn node(&self) -> MemoryBackplane {
        self.node_with_queue(64 * 1024 * 1024)
    }

    /// Connects a node for which up to `limit` bytes of events wait, see [`EventQueue::new`].
    #[must_use]
    pub fn node_with_queue(&self, limit: usize) -> MemoryBackplane {
        let (queue, events) = EventQueue::new(limit);
        let id = self.lock().add_node(queue);
        MemoryBackplane { broker: self.clone(), id, events: Mutex::new(Some(events)) }
    }

    /// Restarts: all nodes lose their connection and are connected again, and the logs and the presence are lost. Each
    /// topic's log begins a new epoch.
    pub fn restart_empty(&self) {
        let mut broker = self.lock();
        let connected = broker.disconnect_all();
        broker.clear();
        connected.into_iter().for_each(|id| broker.connect(id));
    }

    /// Drops the oldest entries of a topic's log until `keep` are left.
    pub fn trim(&self, topic: &str, keep: usize) {
        self.lock().trim(topic, keep);
    }

    /// Loses the newest entries of a topic's log without a new epoch, as a replica does that took over too early.
    pub fn lose_newest(&self, topic: &str, entries: usize) {
        self.lock().lose_newest(topic, entries);
    }

    fn lock(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Faults on demand.
impl MemoryBackplane {
    /// Cuts the connection. Operations fail with [`BackplaneError::Disconnected`] until [`connect`](Self::connect).
    /// Publications of others are missed meanwhile.
    pub fn disconnect(&self) {
        self.broker.lock().disconnect(self.id);
    }

    /// Connects again. What is watched is kept. [`BackplaneEvent::Up`] follows.
    pub fn connect(&self) {
        self.broker.lock().connect(self.id);
    }

    /// Loses the next `publications` for this node without any event. A real broker does that while a node does not
    /// notice that its connection is dead.
    pub fn lose(&self, publications: usize) {
        self.broker.lock().with_node(self.id, |node| node.lose = publications);
    }

    /// Keeps back what others publish. [`release`](Self::release) delivers it.
    pub fn hold(&self) {
        self.broker.lock().with_node(self.id, |node| node.is_holding = true);
    }

    /// Delivers what was [held](Self::hold) and continues as usual.
    pub fn release(&self) {
        self.broker.lock().release(self.id);
    }

    /// Delivers each publication twice from now on.
    pub fn repeat(&self) {
        self.broker.lock().with_node(self.id, |node| node.is_repeating = true);
    }

    /// Omits the offset of the previous entry from [`BackplaneEvent::Logged`], as some brokers do.
    pub fn omit_previous(&self) {
        self.broker.lock().with_node(self.id, |node| node.omits_previous = true);
    }

    /// Lets each operation take this long: half of it on the way to the broker, half on the way back.
    pub fn delay(&self, delay: Duration) {
        self.broker.lock().with_node(self.id, |node| node.delay = delay);
    }

    /// Reports [`Health::Deaf`] from now on or no more.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.broker.lock().with_node(self.id, |node| node.is_deaf = is_deaf);
    }

    /// Reports a gap in all topics, as a broker does that dropped messages for a slow node.
    pub fn report_gap(&self, cause: GapCause) {
        let event = BackplaneEvent::Gap { topics: Topics::All, cause };
        self.broker.lock().with_node(self.id, |node| node.queue.push(event));
    }

    /// As [`report_gap`](Self::report_gap), in some topics. A broker that subscribes them again one by one reports that
    /// with [`GapCause::Disconnected`], before [`BackplaneEvent::Up`].
    pub fn report_gap_in(&self, topics: &[&str], cause: GapCause) {
        let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
        let event = BackplaneEvent::Gap { topics: Topics::Some(topics), cause };
        self.broker.lock().with_node(self.id, |node| node.queue.push(event));
    }

    /// The topics that the broker delivers to this node, in alphabetical order.
    #[must_use]
    pub fn watched(&self) -> Vec<Arc<str>> {
        self.broker.lock().watched(self.id)
    }

    /// Runs an operation on the broker, with the delay of the node.
    async fn ask<T>(
        &self,
        operation: impl FnOnce(&mut Broker, usize) -> Result<T, BackplaneError> + Send,
    ) -> Result<T, BackplaneError> {
        let delay = self.broker.lock().delay_of(self.id) / 2;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let result = {
            let mut broker = self.broker.lock();
            broker.check(self.id).and_then(|()| operation(&mut broker, self.id))
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        result
    }
}

impl Backplane for MemoryBackplane {
    fn publish_live<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(self.ask(move |broker, _| {
            broker.publish_live(topic, &envelope);
            Ok(())
        }))
    }

    fn publish_logged<'a>(
        &'a self,
        topic: &'a str,
        envelope: Bytes,
        options: &'a LogOptions,
    ) -> BoxFuture<'a, Result<Position, BackplaneError>> {
        Box::pin(
            self.ask(move |broker, _| Ok(broker.publish_logged(topic, envelope, options, Instant::now()))),
        )
    }

    fn watch(&self, change: Interest) -> BoxFuture<'_, Result<(), BackplaneError>> {
        Box::pin(async move {
            let is_connected = {
                let mut broker = self.broker.lock();
                broker.watch(self.id, &change);
                broker.check(self.id)
            };
            is_connected?;
            self.ask(|_, _| Ok(())).await
        })
    }

    fn history<'a>(
        &'a self,
        topic: &'a str,
        since: Option<Position>,
        limit: usize,
    ) -> BoxFuture<'a, Result<History, BackplaneError>> {
        Box::pin(self.ask(move |broker, _| Ok(broker.history(topic, since, limit, Instant::now()))))
    }

    fn set_presence<'a>(
        &'a self,
        topic: &'a str,
        node: u64,
        value: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), BackplaneError>> {
        Box::pin(self.ask(move |broker, _| {
            broker.set_presence(topic, node, value, Instant::now() + ttl);
            Ok(())
        }))
    }

    fn presence<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Vec<(u64, Bytes)>, BackplaneError>> {
        Box::pin(self.ask(move |broker, _| Ok(broker.presence(topic, Instant::now()))))
    }

    fn take_events(&self) -> Option<BackplaneEvents> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn health(&self) -> Health {
        self.broker.lock().health(self.id)
    }

    fn shut_down(&self) -> BoxFuture<'_, ()> {
        self.broker.lock().remove_node(self.id);
        Box::pin(async {})
    }
}

impl Drop for MemoryBackplane {
    fn drop(&mut self) {
        self.broker.lock().remove_node(self.id);
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackplane").field("id", &self.id).finish_non_exhaustive()
    }
}
