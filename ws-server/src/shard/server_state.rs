//! The state that all shards of a server share.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use ws_proto::{CloseInfo, ValidConfig};
use ws_tokio::internal::guarded;

use crate::{admission::permits::Permits, options::Options};

use super::{adoption::Door, registry::Registry};

/// How far a server's shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ShutdownPhase {
    Running,
    /// Nothing new is accepted; connections close with 1001.
    Draining,
    /// Connections that are left are cut off.
    Forcing,
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that ended by a completed closing handshake after the shutdown began.
    pub clean: usize,
    /// Connections that ended in another way: the peer vanished, or was cut off at the end of the grace period.
    pub unclean: usize,
    /// Whether connections or handshakes were cut off.
    pub forced: bool,
}

/// Passes the grace period to the server's future, and the report back.
pub(crate) struct ShutdownState {
    pub(super) grace: OnceLock<Duration>,
    pub(super) report: watch::Sender<Option<ShutdownReport>>,
}

impl Default for ShutdownState {
    fn default() -> Self {
        Self { grace: OnceLock::new(), report: watch::Sender::new(None) }
    }
}

pub(crate) struct ServerState {
    pub(crate) options: Options,
    /// The settings of connections that async functions serve.
    pub(crate) protocol: ValidConfig,
    /// The settings of connections that handlers serve. Handlers answer pings themselves.
    pub(crate) handler_protocol: ValidConfig,
    pub(crate) handshakes: Arc<Permits>,
    pub(crate) connections: Arc<Permits>,
    phase: AtomicU8,
    phase_changes: watch::Sender<ShutdownPhase>,
    registries: Mutex<Vec<Weak<Registry>>>,
    clean: AtomicUsize,
    unclean: AtomicUsize,
    ends_at_drain: OnceLock<(usize, usize)>,
    pub(super) shutdown: ShutdownState,
    /// Takes connections to adopt, once the server runs.
    door: watch::Sender<Option<Door>>,
}

impl ServerState {
    pub(crate) fn new(options: Options, protocol: ValidConfig, handler_protocol: ValidConfig) -> Arc<Self> {
        Arc::new(Self {
            protocol,
            handler_protocol,
            handshakes: Permits::with_shares(options.max_handshakes, options.max_per_address),
            connections: Permits::with_shares(options.max_connections, options.max_per_address),
            phase: AtomicU8::new(ShutdownPhase::Running as u8),
            phase_changes: watch::Sender::new(ShutdownPhase::Running),
            registries: Mutex::default(),
            clean: AtomicUsize::new(0),
            unclean: AtomicUsize::new(0),
            ends_at_drain: OnceLock::new(),
            shutdown: ShutdownState::default(),
            door: watch::Sender::new(None),
            options,
        })
    }

    /// Adds the registry of a new shard, whose connections the shutdown wakes.
    pub(super) fn add_registry(&self, registry: &Arc<Registry>) {
        self.registries.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(registry));
    }

    #[inline]
    pub(crate) fn phase(&self) -> ShutdownPhase {
        match self.phase.load(Ordering::Relaxed) {
            0 => ShutdownPhase::Running,
            1 => ShutdownPhase::Draining,
            _ => ShutdownPhase::Forcing,
        }
    }

    /// Advances to a later phase, never back, and wakes all connections.
    pub(crate) fn enter(&self, phase: ShutdownPhase) {
        self.ends_at_drain.get_or_init(|| self.ends());
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        // Wakers of the tasks that wait for it may run any executor's code.
        let _ = guarded(|| {
            self.phase_changes.send_if_modified(|current| {
                let later = phase > *current;
                if later {
                    *current = phase;
                }
                later
            })
        });
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        registries.iter().filter_map(Weak::upgrade).for_each(|registry| registry.wake_all());
    }

    /// Waits for `phase` or a later one.
    pub(crate) async fn reached(&self, phase: ShutdownPhase) {
        // `self` owns the sender, so `wait_for` does not fail.
        let _ = self.phase_changes.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// Opens the way for connections to adopt. The server runs now.
    pub(crate) fn open_door(&self, door: Door) {
        // Wakers of the tasks that wait for it may run any executor's code.
        let _ = guarded(|| self.door.send_replace(Some(door)));
    }

    /// Drops the door. A hook in the options may own a handle to this state, which is then never dropped. The door's
    /// runtime must be dropped even so.
    pub(super) fn close_door(&self) {
        let _ = guarded(|| self.door.send_replace(None));
    }

    /// Waits until the server runs. `None` means that its shutdown has begun.
    pub(crate) async fn door(&self) -> Option<Door> {
        let mut door = self.door.subscribe();
        let opened = async { door.wait_for(Option::is_some).await.ok().and_then(|door| door.clone()) };
        tokio::select! {
            biased;
            () = self.reached(ShutdownPhase::Draining) => None,
            opened = opened => opened,
        }
    }

    /// Counts how a connection ended.
    pub(crate) fn count_end(&self, info: Option<&CloseInfo>) {
        let clean = info.is_some_and(CloseInfo::is_clean);
        let counter = if clean { &self.clean } else { &self.unclean };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that have ended so far: cleanly, and not cleanly.
    pub(crate) fn ends(&self) -> (usize, usize) {
        (self.clean.load(Ordering::Relaxed), self.unclean.load(Ordering::Relaxed))
    }

    /// [`ends`](Self::ends) as they were when the shutdown began.
    pub(crate) fn ends_at_drain(&self) -> (usize, usize) {
        self.ends_at_drain.get().copied().unwrap_or_else(|| self.ends())
    }

    /// The length of a tick: a thirty-second of the shortest deadline, between 1 and 100 ms.
    pub(crate) fn tick_len(&self) -> Duration {
        let config = &self.protocol;
        let keepalive = config.keepalive.map(|keepalive| keepalive.interval.min(keepalive.timeout));
        let shortest = [
            Some(config.close_timeout),
            config.idle_timeout,
            keepalive,
            config.write_timeout,
            config.message_timeout,
        ]
        .into_iter()
        .flatten()
        .fold(Duration::from_secs(5), Duration::min);
        (shortest / 32).clamp(Duration::from_millis(1), Duration::from_millis(100))
    }
}
