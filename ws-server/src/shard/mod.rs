//! Shards. The connections of a shard share a thread or a runtime, a clock, a timer wheel and a registry.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::JoinHandle};
use ws_tokio::internal::now;

pub(crate) mod adoption;
mod head_buffers;
pub(crate) mod progress;
pub(crate) mod registration;
mod registry;
pub(crate) mod server_state;
pub(crate) mod shutdown;
mod spread;
mod stats_handle;
mod timer_wheel;
pub(crate) mod wake;
#[cfg_attr(
    not(any(target_os = "linux", test)),
    expect(dead_code, reason = "only the reactor reads the queue")
)]
pub(crate) mod wake_queue;
pub(crate) mod watched;

pub use server_state::ShutdownReport;
pub use shutdown::ShutdownHandle;
pub use stats_handle::StatsHandle;

use head_buffers::HeadBuffers;
use registry::Registry;
use server_state::ServerState;
use wake::WakeTable;

/// The interval at which unused message buffers are freed.
const TRIM_EVERY: Duration = Duration::from_secs(2);
/// The longest time until a timer entry fires; a later deadline is armed again then. It bounds how long stale entries
/// outlive their connection.
const MAX_TIMER: Duration = Duration::from_secs(60);

pub(crate) struct Shard {
    pub(crate) server: Arc<ServerState>,
    started: Instant,
    tick_nanos: u64,
    /// The current tick. The clock is read once per tick, not per message.
    tick: AtomicU64,
    registry: Arc<Registry>,
    /// Notified when a connection is registered and there was none.
    occupied: Notify,
    pub(crate) head_buffers: HeadBuffers,
    /// Connections and handshakes of this shard.
    load: AtomicUsize,
}

/// Counts a connection or a handshake in its shard's load until it is dropped.
pub(crate) struct LoadShare(Arc<Shard>);

impl LoadShare {
    pub(crate) fn new(shard: &Arc<Shard>) -> Self {
        shard.load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shard))
    }

    pub(crate) const fn shard(&self) -> &Arc<Shard> {
        &self.0
    }
}

impl Drop for LoadShare {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shard {
    /// Creates a shard of this server. The server's shutdown wakes its connections.
    pub(crate) fn new(server: Arc<ServerState>, wake_table: WakeTable) -> Arc<Self> {
        let registry = Arc::new(Registry::new(wake_table, server.options.initial_connections));
        server.add_registry(&registry);
        Arc::new(Self {
            started: now(),
            tick_nanos: server.tick_len().as_nanos() as u64,
            tick: AtomicU64::new(0),
            registry,
            occupied: Notify::new(),
            head_buffers: HeadBuffers::new(server.options.initial_handshakes),
            load: AtomicUsize::new(0),
            server,
        })
    }

    /// Creates this thread's buffers according to the options.
    pub(crate) fn configure_thread(&self) {
        let options = &self.server.options;
        ws_tokio::internal::configure_thread(
            options.receive_buffer,
            ws_proto::memory::BufferPool::new(options.pool()),
        );
    }

    /// The current tick.
    #[inline]
    pub(crate) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }

    /// The time at the beginning of a tick.
    #[inline]
    pub(crate) fn time_of(&self, tick: u64) -> Instant {
        self.started + Duration::from_nanos(self.tick_nanos * tick)
    }

    /// The time, as of the current tick.
    pub(crate) fn now(&self) -> Instant {
        self.time_of(self.tick())
    }

    /// Runs the clock and the timer wheel while connections are registered, and calls `trim` every [`TRIM_EVERY`].
    /// Never returns.
    pub(crate) async fn run_clock(self: Arc<Self>, trim: fn()) {
        let mut trimmed = now();
        loop {
            let occupied = self.occupied.notified();
            if self.registry.is_empty() {
                occupied.await;
                continue;
            }
            tokio::time::sleep(Duration::from_nanos(self.tick_nanos)).await;
            self.advance();
            if now() - trimmed >= TRIM_EVERY {
                trimmed = now();
                trim();
            }
        }
    }

    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    fn advance(&self) {
        let tick = self.refresh();
        self.registry.wake_due(tick);
    }

    fn start_clock(&self) {
        self.refresh();
        self.occupied.notify_waiters();
    }

    fn refresh(&self) -> u64 {
        let tick = self.tick_of(now());
        self.tick.fetch_max(tick, Ordering::Relaxed);
        tick
    }

    /// The tick that contains `at`.
    fn tick_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_nanos() as u64 / self.tick_nanos
    }

    /// The number of whole ticks in `time`.
    const fn ticks(&self, time: Duration) -> u64 {
        time.as_nanos() as u64 / self.tick_nanos
    }
}

/// Aborts a shard's clock when the server ends.
pub(crate) struct AbortOnDrop(pub(crate) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
