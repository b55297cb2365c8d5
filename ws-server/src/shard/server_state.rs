//! The state that all shards of a server share.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use ws_proto::{CloseCode, CloseInfo, ValidConfig};
use ws_tokio::{Shutdown, internal::guarded};

use crate::{
    admission::permits::Permits,
    log_limit::{LogLimits, log_limited},
    measure::{Counters, HandshakeEnd, Observer, PanicPlace, ServerStats},
    options::Options,
    topics::Topics,
    wait::{First, first},
};

use super::{
    adoption::Door,
    progress::{HandshakeProgress, HandshakeReports},
    registry::Registry,
};

/// How far a server's shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ShutdownPhase {
    Running,
    /// Nothing new is accepted; connections close.
    Draining,
    /// Connections that are left are cut off.
    Forcing,
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that ended by a completed closing handshake after the shutdown began, and after its
    /// [`ready_delay`](crate::close::Shutdown::ready_delay).
    pub clean: usize,
    /// Connections that ended in another way: the peer vanished, or was cut off at the end of the grace period.
    pub unclean: usize,
    /// Whether connections or handshakes were cut off.
    pub forced: bool,
}

/// Connections that have ended: with a completed closing handshake, and in another way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndCounts {
    pub(super) clean: usize,
    pub(super) unclean: usize,
}

/// Passes the settings of a shutdown to the server's future, and the report back.
pub(crate) struct ShutdownState {
    pub(super) settings: OnceLock<Shutdown>,
    /// Whether the settings are there.
    pub(super) has_begun: watch::Sender<bool>,
    /// Whether handshakes end that have no response yet.
    ends_handshakes: watch::Sender<bool>,
    pub(super) report: watch::Sender<Option<ShutdownReport>>,
}

impl Default for ShutdownState {
    fn default() -> Self {
        let (has_begun, ends_handshakes) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { settings: OnceLock::new(), has_begun, ends_handshakes, report: watch::Sender::new(None) }
    }
}

pub(crate) struct ServerState {
    pub(crate) options: Options,
    /// The settings of connections that async functions serve.
    pub(crate) protocol: ValidConfig,
    /// The settings of connections that handlers serve. Handlers answer pings themselves.
    pub(crate) handler_protocol: ValidConfig,
    pub(crate) topics: Topics,
    pub(crate) counters: Counters,
    pub(crate) log_limits: LogLimits,
    /// The number of the next connection that is watched.
    next_connection_id: AtomicU64,
    pub(crate) handshakes: Arc<Permits>,
    pub(crate) connections: Arc<Permits>,
    phase: AtomicU8,
    phase_changes: watch::Sender<ShutdownPhase>,
    registries: Mutex<Vec<Weak<Registry>>>,
    clean: AtomicUsize,
    unclean: AtomicUsize,
    ends_at_drain: OnceLock<EndCounts>,
    pub(super) shutdown: ShutdownState,
    /// Takes connections to adopt, once the server runs.
    door: watch::Sender<Option<Door>>,
}

impl ServerState {
    pub(crate) fn new(options: Options, protocol: ValidConfig, handler_protocol: ValidConfig) -> Arc<Self> {
        let topics = options.topics.clone().unwrap_or_else(|| Topics::of_server(protocol.memory_budget()));
        Arc::new(Self {
            protocol,
            handler_protocol,
            topics,
            counters: Counters::new(),
            log_limits: LogLimits::new(),
            next_connection_id: AtomicU64::new(1),
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

    /// Whether a shutdown has begun, although connections may still be accepted.
    pub(crate) fn is_draining(&self) -> bool {
        self.shutdown.settings.get().is_some() || self.phase() > ShutdownPhase::Running
    }

    /// The Close that connections get in a shutdown.
    pub(crate) fn shutdown_close(&self) -> (CloseCode, &str) {
        self.shutdown.settings.get().map_or((CloseCode::GOING_AWAY, ""), |settings| {
            let parts = settings.parts();
            (parts.code, parts.reason)
        })
    }

    /// The registries of all shards.
    pub(super) fn registries(&self) -> Vec<Arc<Registry>> {
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.iter().filter_map(Weak::upgrade).collect()
    }

    /// Advances to a later phase, never back, and wakes all connections, unless the shutdown is spread over a time.
    pub(crate) fn enter(&self, phase: ShutdownPhase) {
        self.ends_at_drain.get_or_init(|| self.ends());
        let registries = self.registries();
        let settings = self.shutdown.settings.get();
        let is_spread = phase == ShutdownPhase::Draining
            && settings.is_some_and(|settings| !settings.parts().spread.is_zero());
        if is_spread && self.phase() == ShutdownPhase::Running {
            registries.iter().for_each(|registry| registry.hold_back());
        }
        // A thread that sees the phase also sees that the connections are held back.
        self.phase.fetch_max(phase as u8, Ordering::Release);
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
        if !is_spread {
            self.end_handshakes();
            registries.iter().for_each(|registry| registry.wake_all());
        }
    }

    /// Waits for `phase` or a later one.
    pub(crate) async fn reached(&self, phase: ShutdownPhase) {
        // `self` owns the sender, so `wait_for` does not fail.
        let _ = self.phase_changes.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// Ends the handshakes that have no response yet.
    pub(super) fn end_handshakes(&self) {
        // Wakers of the tasks that wait for it may run any executor's code.
        let _ = guarded(|| self.shutdown.ends_handshakes.send_replace(true));
    }

    /// Waits until handshakes end that have no response yet: when the server drains or, if that is spread over a time,
    /// at the end of the time.
    pub(crate) async fn handshakes_end(&self) {
        // `self` owns the sender, so `wait_for` does not fail.
        let _ = self.shutdown.ends_handshakes.subscribe().wait_for(|ended| *ended).await;
    }

    /// Opens the way for connections to adopt. The server runs now.
    pub(crate) fn open_door(&self, door: Door) {
        // Wakers of the tasks that wait for it may run any executor's code.
        let _ = guarded(|| self.door.send_replace(Some(door)));
    }

    /// Drops the door. A hook in the options may own a handle to this state, which is then never dropped. The door's
    /// runtime must still be dropped.
    pub(super) fn close_door(&self) {
        let _ = guarded(|| self.door.send_replace(None));
    }

    /// Waits until the server runs. `None` means that its shutdown has begun.
    pub(crate) async fn door(&self) -> Option<Door> {
        let mut door = self.door.subscribe();
        let opened = async { door.wait_for(Option::is_some).await.ok().and_then(|door| door.clone()) };
        match first!(self.reached(ShutdownPhase::Draining), opened) {
            First::Left(()) => None,
            First::Right(opened) => opened,
        }
    }

    /// Counts how a connection ended that was open for `age`.
    pub(super) fn count_end(&self, info: &CloseInfo, age: Duration) {
        let clean = info.is_clean();
        self.counters.count_close(info, age);
        let counter = if clean { &self.clean } else { &self.unclean };
        counter.fetch_add(1, Ordering::Relaxed);
        if !clean && let Some(recording) = info.recording() {
            log_limited!(
                self.log_limits,
                End,
                debug,
                "a connection ended: {info}; its latest events:\n{recording}"
            );
        }
    }

    /// A handshake begins. It is counted when the result is dropped.
    pub(crate) fn begin_handshake(self: &Arc<Self>, peer: Option<SocketAddr>) -> Box<HandshakeProgress> {
        // Boxed because handshakes move from future to future.
        Box::new(HandshakeProgress::new(Arc::<Self>::clone(self), self.options.spans, peer))
    }

    /// Calls the observer, if there is one.
    pub(super) fn observe(&self, call: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.options.observer
            && guarded(|| call(&**observer)).is_err()
        {
            // A `tracing` subscriber may panic too.
            let _ = guarded(|| self.note_panic(PanicPlace::Observer, "an observer panicked"));
        }
    }

    /// Counts a panic of the application's code, and logs it.
    pub(crate) fn note_panic(&self, place: PanicPlace, line: &str) {
        self.counters.count_panic(place);
        log_limited!(self.log_limits, Panic, error, "{line}");
    }

    /// Logs that a socket could not be registered or deregistered, so that its connection is lost.
    pub(crate) fn note_lost_socket(&self, error: &io::Error) {
        log_limited!(self.log_limits, Socket, warn, %error, "registering or deregistering a socket failed");
    }

    pub(super) fn next_connection_id(&self) -> u64 {
        self.next_connection_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A snapshot of the statistics.
    pub(super) fn stats(&self) -> ServerStats {
        let mut stats = self.counters.snapshot();
        stats.connections = self.connections.active() as u64;
        stats.handshakes.active = self.handshakes.active() as u64;
        let ends = self.ends();
        (stats.closes.clean, stats.closes.unclean) = (ends.clean as u64, ends.unclean as u64);
        stats.pressure.dropped_publications = self.topics.missed();
        stats.memory_used = self.memory_used() as u64;
        stats
    }

    /// Bytes of the memory budget that all connections use.
    pub(super) fn memory_used(&self) -> usize {
        self.protocol.memory_budget().map_or(0, ws_proto::memory::MemoryBudget::used)
    }

    /// Connections that have ended so far.
    pub(crate) fn ends(&self) -> EndCounts {
        EndCounts { clean: self.clean.load(Ordering::Relaxed), unclean: self.unclean.load(Ordering::Relaxed) }
    }

    /// [`ends`](Self::ends) as they were when the shutdown began.
    pub(crate) fn ends_at_drain(&self) -> EndCounts {
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

impl HandshakeReports for ServerState {
    fn handshake_ended(&self, end: &HandshakeEnd) {
        self.counters.count_handshake(end);
        self.observe(|observer| observer.handshake_ended(end));
    }

    fn is_shutting_down(&self) -> bool {
        *self.shutdown.ends_handshakes.borrow() || self.phase() == ShutdownPhase::Forcing
    }
}
