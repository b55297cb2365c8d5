//! Decides which topic is subscribed on which connection, and connects again.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use ::redis::RedisError;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinHandle},
    time::sleep_until,
};

use super::{
    Call, Context, code,
    link::{Change, Ended, Link, Order, Report},
    registry::{Confirmed, LinkId, Registry},
    requests::Addition,
    waiters::{Reply, Waiters},
};
use crate::{
    backplane::{Health, Interest},
    error::BackplaneError,
    event::{BackplaneEvent, GapCause, Topics},
    redis::{endpoint::Endpoint, random, topology::SlotMap},
};

/// The delay in front of a retry: random, below a limit that doubles between these.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// The task's state.
pub(super) struct Supervisor {
    context: Arc<Context>,
    calls: mpsc::Receiver<Call>,
    reporter: mpsc::UnboundedSender<(LinkId, Report)>,
    reports: mpsc::UnboundedReceiver<(LinkId, Report)>,
    registry: Registry,
    waiters: Waiters,
    links: HashMap<LinkId, Handle>,
    next_link: LinkId,
    refreshing: Option<JoinHandle<Result<Arc<SlotMap>, RedisError>>>,
    /// When to find the servers again.
    refresh_at: Option<Instant>,
    attempt: u32,
    /// A connection or an attempt failed, and not all is well again since.
    is_failing: bool,
    is_deaf: bool,
    is_up: bool,
    health: Arc<AtomicU8>,
}

/// A connection.
struct Handle {
    endpoint: Endpoint,
    orders: mpsc::UnboundedSender<Vec<Order>>,
    task: JoinHandle<()>,
    /// Its first probe came back.
    is_heard: bool,
}

impl Supervisor {
    pub(super) fn new(context: Context, calls: mpsc::Receiver<Call>, health: Arc<AtomicU8>) -> Self {
        let (reporter, reports) = mpsc::unbounded_channel();
        Self {
            context: Arc::new(context),
            calls,
            reporter,
            reports,
            registry: Registry::default(),
            waiters: Waiters::default(),
            links: HashMap::new(),
            next_link: 0,
            refreshing: None,
            refresh_at: None,
            attempt: 0,
            is_failing: false,
            is_deaf: false,
            is_up: false,
            health,
        }
    }

    pub(super) async fn run(mut self) {
        let mut stopped = None;
        self.refresh();
        loop {
            tokio::select! {
                call = self.calls.recv() => match call {
                    Some(Call::Watch(interest, reply)) => self.watch(interest, reply),
                    Some(Call::Stop(reply)) => {
                        stopped = Some(reply);
                        break;
                    }
                    None => break,
                },
                Some((link, report)) = self.reports.recv() => self.reported(link, report),
                () = self.context.topology.doubted() => self.refresh_soon(),
                found = finished(&mut self.refreshing) => self.refreshed(found),
                () = at(self.refresh_at) => self.refresh(),
            }
            self.update_state();
        }
        self.stop(stopped).await;
    }

    async fn stop(self, reply: Option<oneshot::Sender<()>>) {
        self.health.store(code(Health::Disconnected), Ordering::Relaxed);
        self.context.commands.close();
        if let Some(refreshing) = self.refreshing {
            refreshing.abort();
        }
        for link in self.links.into_values() {
            link.task.abort();
            // It was aborted, or ended by itself.
            let _ = link.task.await;
        }
        // The queue of events ends with the last reference to the context.
        drop(self.context);
        if let Some(reply) = reply {
            // The caller may have gone.
            let _ = reply.send(());
        }
    }

    fn watch(&mut self, interest: Interest, reply: Reply) {
        let mut added: Vec<Arc<str>> = interest.add_live;
        added.extend(interest.add_logged);
        added.sort_unstable();
        added.dedup();
        for topic in interest.remove {
            if added.binary_search(&topic).is_ok() {
                continue;
            }
            let link = self.registry.remove(&topic).and_then(|link| self.links.get(&link));
            if let Some(link) = link {
                link.order(Order::Remove(Arc::clone(&topic)));
            }
            self.waiters.done(&topic);
        }
        let (names, sharded) = (&self.context.names, self.context.topology.is_sharded());
        added.retain(|topic| self.registry.add(topic, names, sharded));
        self.waiters.add(&added, reply);
        self.place();
        if self.is_failing {
            self.fail_unplaced();
        }
    }

    /// Orders the subscription of topics that are nowhere.
    fn place(&mut self) {
        let Some(map) = self.context.topology.current() else { return };
        let by_endpoint: HashMap<&Endpoint, LinkId> =
            self.links.iter().map(|(id, link)| (&link.endpoint, *id)).collect();
        let mut orders: HashMap<LinkId, Vec<Order>> = HashMap::new();
        self.registry.place(
            |slot| by_endpoint.get(map.node(slot)?).copied(),
            |link, topic, gap| orders.entry(link).or_default().push(Order::Add(Addition { topic, gap })),
        );
        for (link, orders) in orders {
            if let Some(link) = self.links.get(&link) {
                link.send(orders);
            }
        }
        if !self.registry.unplaced().is_empty() {
            self.refresh_soon();
        }
    }

    fn fail_unplaced(&mut self) {
        for topic in self.registry.unplaced() {
            self.waiters.failed(topic, || BackplaneError::Disconnected { source: None });
        }
    }

    fn reported(&mut self, id: LinkId, report: Report) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match report {
            Report::Heard => link.is_heard = true,
            Report::Changes(changes) => changes.into_iter().for_each(|change| self.changed(id, change)),
            Report::Ended(ended) => self.ended(id, ended),
        }
    }

    fn changed(&mut self, id: LinkId, change: Change) {
        match change {
            Change::Confirmed(topic) => match self.registry.confirmed(&topic, id) {
                Confirmed::Yes => {
                    // Otherwise `Up` follows.
                    if self.waiters.done(&topic) && self.is_up {
                        let (topics, cause) = (Topics::Some(vec![topic]), GapCause::Disconnected);
                        self.context.events.push(BackplaneEvent::Gap { topics, cause });
                    }
                }
                Confirmed::Removed => {}
                Confirmed::Elsewhere => {
                    if let Some(link) = self.links.get(&id) {
                        link.order(Order::Remove(topic));
                    }
                }
            },
            // Placed again after the servers were found again: what is known leads to the same server.
            Change::Moved(topic) => {
                self.registry.lost(&topic, id, GapCause::Moved);
                self.refresh_soon();
            }
            Change::Refused(topic, error) => {
                tracing::warn!(%error, "the server refuses a subscription");
                self.registry.lost(&topic, id, GapCause::Moved);
                self.waiters.failed(&topic, || BackplaneError::Refused { source: error.as_ref().into() });
                self.refresh_soon();
            }
        }
    }

    fn ended(&mut self, id: LinkId, ended: Ended) {
        let Some(link) = self.links.remove(&id) else { return };
        tracing::debug!(server = %link.endpoint, %ended, "a connection for subscriptions ended");
        if matches!(ended, Ended::Deaf) {
            self.is_deaf = true;
            // Commands to this server would wait for their deadlines.
            self.context.commands.end(&link.endpoint);
        }
        self.is_failing = true;
        for topic in self.registry.link_ended(id, GapCause::Disconnected) {
            self.waiters.failed(&topic, || BackplaneError::Disconnected { source: None });
        }
        if self.is_up {
            self.is_up = false;
            self.context.events.push(BackplaneEvent::Down);
        }
        self.refresh_soon();
    }

    /// Finds the servers again after a delay.
    fn refresh_soon(&mut self) {
        let wanted = Instant::now() + random::backoff(self.attempt, FIRST_DELAY, LONGEST_DELAY);
        let is_later = self.refresh_at.is_none_or(|at| at > wanted);
        if is_later && self.refreshing.is_none() {
            self.refresh_at = Some(wanted);
        }
    }

    fn refresh(&mut self) {
        self.refresh_at = None;
        self.attempt = self.attempt.saturating_add(1);
        let topology = Arc::clone(&self.context.topology);
        self.refreshing = Some(tokio::spawn(async move { topology.refresh().await }));
    }

    fn refreshed(&mut self, found: Result<Result<Arc<SlotMap>, RedisError>, JoinError>) {
        match found {
            Ok(Ok(map)) => self.connect(&map),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no server answers which servers there are");
                self.is_failing = true;
                self.fail_unplaced();
                self.refresh_soon();
            }
            Err(_) => self.refresh_soon(),
        }
    }

    /// Connects to new servers, leaves old ones, and places what is nowhere.
    fn connect(&mut self, map: &SlotMap) {
        let gone: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| !map.nodes().contains(&link.endpoint))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            // Its task ends with the sender of its orders.
            self.links.remove(&id);
            self.registry.link_ended(id, GapCause::Moved);
        }
        for endpoint in map.nodes() {
            if !self.links.values().any(|link| link.endpoint == *endpoint) {
                self.open(endpoint.clone());
            }
        }
        self.context.commands.keep(map.nodes());
        self.place();
        // Sentinels and clusters may change silently.
        if !self.context.topology.is_fixed() && self.refresh_at.is_none() {
            self.refresh_at = Some(Instant::now() + self.context.probe_interval);
        }
    }

    fn open(&mut self, endpoint: Endpoint) {
        self.next_link += 1;
        let (orders, receiver) = mpsc::unbounded_channel();
        let (context, reporter) = (Arc::clone(&self.context), self.reporter.clone());
        let link = Link::new(context, self.next_link, endpoint.clone(), reporter);
        let task = tokio::spawn(link.run(receiver));
        self.links.insert(self.next_link, Handle { endpoint, orders, task, is_heard: false });
    }

    fn update_state(&mut self) {
        let Some(map) = self.context.topology.current() else { return };
        let is_connected = map
            .nodes()
            .iter()
            .all(|node| self.links.values().any(|link| link.is_heard && link.endpoint == *node));
        if is_connected && self.registry.is_settled() {
            self.attempt = 0;
            self.is_failing = false;
            self.is_deaf = false;
            if !self.is_up {
                self.is_up = true;
                self.context.events.push(BackplaneEvent::Up);
            }
        }
        let health = match (self.is_up && !self.registry.is_displaced(), self.is_deaf) {
            (true, _) => Health::Healthy,
            (false, true) => Health::Deaf,
            (false, false) => Health::Disconnected,
        };
        self.health.store(code(health), Ordering::Relaxed);
    }
}

impl Handle {
    fn order(&self, order: Order) {
        self.send(vec![order]);
    }

    /// A connection that has ended gets no orders: its report is on the way, and its topics are placed again.
    fn send(&self, orders: Vec<Order>) {
        let _ = self.orders.send(orders);
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}

/// The result of the task, which is taken out.
async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    let Some(running) = task else { return pending().await };
    let result = running.await;
    *task = None;
    result
}
