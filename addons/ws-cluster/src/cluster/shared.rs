//! What the handles of a cluster and its tasks share.

use std::{
    collections::HashSet,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, broadcast};

use super::{
    events::{ClusterEvent, PresenceEvent},
    local::Local,
    mode::Mode,
};
use crate::{Backplane, BackplaneError, GapCause, envelope::Envelope};

pub(super) type ModeOf = dyn Fn(&str) -> Mode + Send + Sync;

pub(super) struct Shared<L> {
    pub(super) local: L,
    pub(super) backplane: Arc<dyn Backplane>,
    pub(super) node: u64,
    pub(super) settings: Settings,
    pub(super) mode_of: Box<ModeOf>,
    pub(super) events: broadcast::Sender<ClusterEvent>,
    pub(super) presence_events: broadcast::Sender<PresenceEvent>,
    /// Bytes that may be in flight to the broker.
    pub(super) room: Semaphore,
    /// Logged topics of which this node misses nothing from now on.
    pub(super) anchored: RwLock<HashSet<Arc<str>>>,
    /// The broker may have lost what was stored about presence.
    pub(super) presence_lost: Notify,
    /// Whether the engine runs.
    pub(super) is_running: AtomicBool,
    sequence: AtomicU64,
}

/// Times and limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) deadline: Duration,
    pub(super) max_in_flight: usize,
    pub(super) presence_ttl: Duration,
    /// How long changes of interest are gathered.
    pub(super) debounce: Duration,
    /// How long a topic without members stays watched.
    pub(super) linger: Duration,
    /// The most bytes of log entries that are held while the history is read.
    pub(super) max_held: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            max_in_flight: 8 * 1024 * 1024,
            presence_ttl: Duration::from_secs(30),
            debounce: Duration::from_millis(2),
            linger: Duration::from_secs(5),
            max_held: 16 * 1024 * 1024,
        }
    }
}

impl<L: Local> Shared<L> {
    pub(super) fn new(
        local: L,
        backplane: Arc<dyn Backplane>,
        node: u64,
        settings: Settings,
        mode_of: Box<ModeOf>,
    ) -> Arc<Self> {
        Arc::new(Self {
            local,
            backplane,
            node,
            settings,
            mode_of,
            events: broadcast::channel(256).0,
            presence_events: broadcast::channel(1024).0,
            room: Semaphore::new(settings.max_in_flight),
            anchored: RwLock::default(),
            presence_lost: Notify::new(),
            is_running: AtomicBool::new(true),
            sequence: AtomicU64::new(0),
        })
    }

    /// The mode of a topic. If the application's function panics, the topic is live.
    pub(super) fn mode(&self, topic: &str) -> Mode {
        catch_unwind(AssertUnwindSafe(|| (self.mode_of)(topic))).unwrap_or_else(|_| {
            tracing::error!(topic, "the function that gives the mode of a topic panicked");
            Mode::Live
        })
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn report(&self, event: ClusterEvent) {
        tracing::debug!(?event, "cluster");
        // An error says that there is no receiver.
        let _ = self.events.send(event);
    }

    pub(super) fn report_gap(&self, topics: impl Into<Arc<[Arc<str>]>>, cause: GapCause) {
        let topics = topics.into();
        if !topics.is_empty() {
            self.report(ClusterEvent::Gap { topics, cause });
        }
    }

    /// Reports a change of presence that another node announced.
    pub(super) fn report_presence(&self, event: PresenceEvent) {
        let _ = self.presence_events.send(event);
    }

    pub(super) fn is_anchored(&self, topic: &str) -> bool {
        self.anchored.read().unwrap_or_else(PoisonError::into_inner).contains(topic)
    }

    pub(super) fn set_anchored(&self, topic: &Arc<str>, is_anchored: bool) {
        let mut anchored = self.anchored.write().unwrap_or_else(PoisonError::into_inner);
        if is_anchored {
            anchored.insert(Arc::clone(topic));
        } else {
            anchored.remove(topic);
        }
    }

    /// Whether this node published it.
    pub(super) const fn is_own(&self, envelope: &Envelope) -> bool {
        envelope.node == self.node
    }
}

impl<L> fmt::Debug for Shared<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("backplane", &self.backplane)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Runs an operation of the backplane. It gets a deadline, and a panic is an error.
pub(super) async fn guarded<T>(
    deadline: Duration,
    operation: impl Future<Output = Result<T, BackplaneError>>,
) -> Result<T, BackplaneError> {
    let mut operation = pin!(operation);
    let caught = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| operation.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| {
            Err(BackplaneError::Refused { source: "the backplane panicked".into() }).into()
        })
    });
    match tokio::time::timeout(deadline, caught).await {
        Ok(result) => result,
        Err(_) => Err(BackplaneError::TimedOut { after: deadline }),
    }
}

/// Random fractions, so that nodes do not act at the same moment. Not for secrets.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From half of `base` to all of it.
    pub(super) fn of(&mut self, base: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let per_mille = 500 + (self.0 >> 33) % 501;
        base * u32::try_from(per_mille).unwrap_or(1000) / 1000
    }

    /// A pause that doubles with each failure, up to 5 s.
    pub(super) fn backoff(&mut self, failures: u32) -> Duration {
        self.of(Duration::from_millis(100 << failures.min(6)).min(Duration::from_secs(5)))
    }
}
