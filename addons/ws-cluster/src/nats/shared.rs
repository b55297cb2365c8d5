//! What the tasks and the calls of a backplane share.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    api::{Api, ApiError},
    builder::Config,
    connect::random,
    interest::Watched,
    link::{Link, LinkError, Task, lock},
    stream::{Shape, Stream},
    subject::{Kind, Subjects},
    window::Window,
};
use crate::{BackplaneError, BackplaneEvent, EventQueue, Health, LogOptions};

/// Most messages that a stream sends for one request.
const MOST_AT_ONCE: usize = 512;

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) subjects: Subjects,
    /// Names this node in subjects.
    pub(super) id: u64,
    /// The subject that JetStream's API is below.
    root: String,
    events: Mutex<Option<EventQueue>>,
    pub(super) watched: Watched,
    link: watch::Sender<Option<Arc<Link>>>,
    pub(super) subscriptions: tokio::sync::Mutex<Subscriptions>,
    pub(super) log: Stream,
    pub(super) presence: Stream,
    pub(super) is_up: AtomicBool,
    pub(super) is_deaf: AtomicBool,
    is_closed: AtomicBool,
    /// All topics must be watched again, and `Up` follows.
    pub(super) resync: Arc<Notify>,
    /// The log may have begun again. The server is asked, and nothing follows if it has not.
    pub(super) doubt: Notify,
    pub(super) window: Window,
}

/// The subscribed groups of one connection.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pub(super) link: u64,
    pub(super) groups: HashMap<(u16, bool), Task>,
}

impl Shared {
    pub(super) fn new(config: Config, events: EventQueue) -> Self {
        let subjects = config.subjects();
        let root =
            config.domain.as_ref().map_or_else(|| "$JS.API".into(), |domain| format!("$JS.{domain}.API"));
        let log = Shape {
            subjects: subjects.all(Kind::Log),
            republish: Some(subjects.all(Kind::Out)),
            in_memory: config.in_memory,
            replicas: config.replicas,
        };
        let presence = Shape {
            subjects: subjects.every_presence(),
            republish: None,
            in_memory: true,
            replicas: config.replicas,
        };
        let resync = Arc::<Notify>::default();
        // It is raised with the first use.
        let shortest = LogOptions::new(1, Duration::from_secs(1));
        Self {
            id: random(),
            root,
            events: Mutex::new(Some(events)),
            watched: Watched::new(config.groups),
            link: watch::Sender::new(None),
            subscriptions: tokio::sync::Mutex::default(),
            log: Stream::new(config.log_stream(), log, config.log, Arc::clone(&resync)),
            presence: Stream::new(config.presence_stream(), presence, shortest, Arc::default()),
            is_up: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            resync,
            doubt: Notify::new(),
            window: Window::new(config.in_flight),
            subjects,
            config,
        }
    }

    pub(super) fn push(&self, event: BackplaneEvent) {
        // The guard ends before the push: a waker may run there.
        let events = lock(&self.events).clone();
        if let Some(events) = events {
            events.push(event);
        }
    }

    pub(super) fn events(&self) -> Option<EventQueue> {
        lock(&self.events).clone()
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.config.deadline
    }

    pub(super) fn api<'a>(&'a self, link: &'a Link, deadline: Instant) -> Api<'a> {
        Api { link, root: &self.root, deadline, batch: self.config.subscription_capacity.min(MOST_AT_ONCE) }
    }

    pub(super) fn set_link(&self, link: Option<Arc<Link>>) {
        self.link.send_replace(link);
    }

    /// The current connection.
    pub(super) fn link(&self) -> Result<Arc<Link>, BackplaneError> {
        if self.is_closed() {
            return Err(BackplaneError::Closed);
        }
        self.link.borrow().clone().ok_or(BackplaneError::Disconnected { source: None })
    }

    /// The current connection, or the next one.
    pub(super) async fn next_link(&self, deadline: Instant) -> Result<Arc<Link>, LinkError> {
        let mut links = self.link.subscribe();
        let is_usable = |link: &Option<Arc<Link>>| link.as_ref().is_some_and(|link| !link.signals.is_over());
        let found = tokio::time::timeout_at(deadline, links.wait_for(is_usable)).await;
        match found {
            Err(_) => Err(LinkError::TimedOut),
            Ok(found) => found.ok().and_then(|link| link.clone()).ok_or(LinkError::Lost),
        }
    }

    pub(super) fn error(&self, error: impl Into<ApiError>) -> BackplaneError {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Missing(&'static str);

        match error.into() {
            _ if self.is_closed() => BackplaneError::Closed,
            ApiError::Link(LinkError::Lost) => BackplaneError::Disconnected { source: None },
            ApiError::Link(LinkError::TimedOut) => BackplaneError::TimedOut { after: self.config.deadline },
            ApiError::Link(LinkError::Refused(source)) => BackplaneError::Refused { source },
            ApiError::NoStream => {
                BackplaneError::Refused { source: Box::new(Missing("there is no such stream")) }
            }
            ApiError::NoMessage => {
                BackplaneError::Refused { source: Box::new(Missing("there is no such message")) }
            }
            ApiError::NameInUse => {
                BackplaneError::Refused { source: Box::new(Missing("the stream's name is in use")) }
            }
        }
    }

    pub(super) fn health(&self) -> Health {
        if !self.is_up.load(Ordering::Acquire) {
            Health::Disconnected
        } else if self.is_deaf.load(Ordering::Acquire) {
            Health::Deaf
        } else {
            Health::Healthy
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Ends the connection, and the events once the tasks have seen it.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.is_up.store(false, Ordering::Release);
        let events = lock(&self.events).take();
        drop(events);
        let link = self.link.send_replace(None);
        if let Some(link) = link {
            link.signals.end();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("prefix", &self.config.prefix)
            .field("stream", &self.log.name)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
