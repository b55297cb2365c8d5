//! What a handle to the cluster does, over the topics of this process or over a model of them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{SemaphorePermit, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use ws_server::topics::{Beginning, PublishError};

use super::{
    engine::{Engine, Ensure, Watched},
    error::{ClusterError, StartError},
    events::{ClusterEvents, ClusterPresent, NodeId, PresenceEvents},
    local::{Delivery, Local},
    mode::Mode,
    presence::{self, Herald},
    shared::{Shared, guarded},
};
use crate::{Health, LogOptions, Position, envelope::Envelope};

/// Most calls that wait for the engine. Further ones wait in front of it.
const COMMANDS: usize = 1024;

/// For the backplane to end its connections.
const SHUT_DOWN: Duration = Duration::from_secs(5);

pub(super) struct Node<L: Local> {
    shared: Arc<Shared<L>>,
    commands: mpsc::Sender<Ensure>,
    /// Set once the cluster is shut down. The tasks also end when it is dropped.
    stop: watch::Sender<bool>,
    tasks: Mutex<Option<JoinHandle<()>>>,
}

/// The outcome of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The members of this node that it was handed to at once. 0 for logged topics: their members get it through the
    /// broker.
    pub members: usize,
    /// Its place in the topic's log, if the topic is logged.
    pub position: Option<Position>,
}

impl<L: Local> Node<L> {
    /// Starts the tasks.
    pub(super) fn start(shared: Arc<Shared<L>>) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let events = shared.backplane.take_events().ok_or(StartError::BackplaneInUse)?;
        let (commands, received) = mpsc::channel(COMMANDS);
        let (stop, stopped) = watch::channel(false);
        let engine = Engine::new(Arc::clone(&shared), events, received);
        let herald = Herald::new(Arc::clone(&shared));
        let tasks = runtime.spawn(run(Arc::clone(&shared), engine, herald, stopped));
        Ok(Self { shared, commands, stop, tasks: Mutex::new(Some(tasks)) })
    }

    pub(super) fn id(&self) -> NodeId {
        NodeId(self.shared.node)
    }

    pub(super) fn local(&self) -> &L {
        &self.shared.local
    }

    pub(super) fn events(&self) -> ClusterEvents {
        ClusterEvents(self.shared.events.subscribe())
    }

    pub(super) fn presence_events(&self) -> PresenceEvents {
        PresenceEvents(self.shared.presence_events.subscribe())
    }

    pub(super) fn health(&self) -> Health {
        let is_running = self.shared.is_running.load(Ordering::Acquire);
        if is_running { self.shared.backplane.health() } else { Health::Disconnected }
    }

    pub(super) async fn presence(&self, topic: &str) -> Result<Vec<ClusterPresent>, ClusterError> {
        presence::read(&self.shared, topic).await.map_err(ClusterError::Broker)
    }

    pub(super) async fn publish(&self, topic: &str, delivery: Delivery) -> Result<Published, ClusterError> {
        if *self.stop.borrow() {
            return Err(ClusterError::Closed);
        }
        let deadline = Instant::now() + self.shared.settings.deadline;
        match self.shared.mode(topic) {
            Mode::Local => {
                let members = self.publish_here(topic, delivery, deadline).await?;
                Ok(Published { members, position: None })
            }
            Mode::Live => self.publish_live(topic, delivery, deadline).await,
            // The log does not have it.
            Mode::Logged(_) if !delivery.is_kept => self.publish_live(topic, delivery, deadline).await,
            mode @ Mode::Logged(options) => {
                // Otherwise members that have just subscribed would miss it.
                if self.shared.local.has_members(topic) && !self.shared.is_anchored(topic) {
                    self.ensure(topic, mode, None, deadline).await?;
                }
                self.publish_logged(topic, delivery, &options, deadline).await
            }
        }
    }

    async fn publish_live(
        &self,
        topic: &str,
        delivery: Delivery,
        deadline: Instant,
    ) -> Result<Published, ClusterError> {
        let envelope = self.envelope(&delivery)?;
        let _room = self.room(envelope.len(), deadline).await?;
        let members = self.publish_here(topic, delivery, deadline).await?;
        let published = async { self.shared.backplane.publish_live(topic, envelope).await };
        guarded(remaining(deadline), published)
            .await
            .map_err(|source| ClusterError::NotPublished { members, source })?;
        Ok(Published { members, position: None })
    }

    async fn publish_logged(
        &self,
        topic: &str,
        delivery: Delivery,
        options: &LogOptions,
        deadline: Instant,
    ) -> Result<Published, ClusterError> {
        let envelope = self.envelope(&delivery)?;
        let _room = self.room(envelope.len(), deadline).await?;
        let published = async { self.shared.backplane.publish_logged(topic, envelope, options).await };
        let position = guarded(remaining(deadline), published)
            .await
            .map_err(|source| ClusterError::NotPublished { members: 0, source })?;
        Ok(Published { members: 0, position: Some(position) })
    }

    /// Publishes to the members of this process, once there is room.
    async fn publish_here(
        &self,
        topic: &str,
        delivery: Delivery,
        deadline: Instant,
    ) -> Result<usize, ClusterError> {
        loop {
            match self.shared.local.publish(topic, delivery.clone()) {
                Ok(members) => return Ok(members),
                Err(error @ PublishError::Full { .. }) => {
                    let ready = timeout_at(deadline, self.shared.local.ready()).await;
                    ready.map_err(|_| ClusterError::Publish(error))?;
                }
                Err(error) => return Err(ClusterError::Publish(error)),
            }
        }
    }

    fn envelope(&self, delivery: &Delivery) -> Result<Bytes, ClusterError> {
        let Delivery { message, except, key, deadline, may_compress, is_kept } = delivery.clone();
        let mut envelope = Envelope::publication(self.shared.node, self.shared.next_sequence(), message);
        envelope.member = except;
        envelope.key = key;
        envelope.deadline = deadline;
        envelope.may_compress = may_compress;
        envelope.is_kept = is_kept;
        envelope.encode().map_err(ClusterError::Envelope)
    }

    /// Waits until this many more bytes may be in flight. A single publication may exceed the limit.
    async fn room(&self, len: usize, deadline: Instant) -> Result<SemaphorePermit<'_>, ClusterError> {
        let settings = &self.shared.settings;
        let permits = u32::try_from(len.min(settings.max_in_flight)).unwrap_or(u32::MAX);
        match timeout_at(deadline, self.shared.room.acquire_many(permits)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(ClusterError::Closed),
            Err(_) => {
                Err(ClusterError::Full { len, limit: settings.max_in_flight, after: settings.deadline })
            }
        }
    }

    /// Waits until the topic is watched, and until the local history reaches back to `since` if the log does.
    pub(super) async fn watched(
        &self,
        topic: &str,
        since: Option<Beginning>,
    ) -> Result<Option<Watched>, ClusterError> {
        if *self.stop.borrow() {
            return Err(ClusterError::Closed);
        }
        match self.shared.mode(topic) {
            Mode::Local => Ok(None),
            mode => {
                let deadline = Instant::now() + self.shared.settings.deadline;
                self.ensure(topic, mode, since, deadline).await.map(Some)
            }
        }
    }

    async fn ensure(
        &self,
        topic: &str,
        mode: Mode,
        since: Option<Beginning>,
        deadline: Instant,
    ) -> Result<Watched, ClusterError> {
        let (reply, answer) = oneshot::channel();
        let ensure = Ensure { topic: topic.into(), mode, since, reply };
        let watched = async {
            self.commands.send(ensure).await.map_err(|_| ClusterError::Closed)?;
            let answer = answer.await.map_err(|_| ClusterError::Closed)?;
            answer.map_err(|refusal| ClusterError::CannotWatch {
                topic: topic.to_owned(),
                reason: refusal.0.as_ref().to_owned(),
            })
        };
        let not_watched = ClusterError::NotWatched { after: self.shared.settings.deadline };
        timeout_at(deadline, watched).await.unwrap_or(Err(not_watched))
    }

    pub(super) async fn shut_down(&self) {
        self.stop.send_replace(true);
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tasks) = tasks {
            // It ends early only with the runtime.
            let _ = tasks.await;
        }
    }
}

fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The tasks of a node, until it is shut down or all handles are gone.
async fn run<L: Local>(
    shared: Arc<Shared<L>>,
    mut engine: Engine<L>,
    mut herald: Herald<L>,
    mut stopped: watch::Receiver<bool>,
) {
    tokio::select! {
        _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
        () = engine.run() => {}
        () = herald.run() => {}
    }
    shared.is_running.store(false, Ordering::Release);
    drop(engine);
    herald.clear().await;
    drop(herald);
    if timeout(SHUT_DOWN, shared.backplane.shut_down()).await.is_err() {
        tracing::warn!("the backplane did not shut down in time");
    }
}

impl<L: Local> fmt::Debug for Node<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("shared", &self.shared).finish_non_exhaustive()
    }
}
