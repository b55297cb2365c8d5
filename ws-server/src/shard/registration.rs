use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    task::Waker,
    time::{Duration, Instant},
};

use tracing::Span;
use ws_proto::CloseInfo;
use ws_tokio::internal::{Pressure, guarded};

use crate::{admission::permits::Permit, measure::SlowReason};

use super::{
    LoadShare, MAX_TIMER, Shard,
    server_state::ShutdownPhase,
    wake::ConnWaker,
    watched::{Watched, cut_off},
};

/// A connection's entry on its shard: its id, its wake-ups, its timer. Dropping it frees the id and the permit.
pub(crate) struct Registration {
    load: LoadShare,
    id: u32,
    /// The earliest tick for which the timer wheel has an entry; 0 if there is none, and [`NEVER`] if none is needed.
    armed: u64,
    /// The low bits of the tick at which the connection was opened. `None` once it has ended.
    opened: Option<NonZero<u32>>,
    /// Present if an observer or a span watches the connection.
    watched: Option<Box<Watched>>,
    _permit: Permit,
}

/// A tick that does not come.
const NEVER: u64 = u64::MAX;

/// The id of a connection that does not exist yet. Dropping it frees the id.
pub(crate) struct ReservedId {
    /// `None` once a connection has the id.
    shard: Option<Arc<Shard>>,
    id: u32,
}

impl ReservedId {
    pub(crate) fn new(shard: &Arc<Shard>) -> Self {
        // The clock does not run while the shard has no connections.
        let id = shard.registry.add(|| shard.start_clock());
        Self { shard: Some(Arc::clone(shard)), id }
    }

    #[cfg(any(test, target_os = "linux"))]
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    fn take(mut self) -> u32 {
        self.shard = None;
        self.id
    }
}

impl Drop for ReservedId {
    fn drop(&mut self) {
        if let Some(shard) = &self.shard {
            shard.registry.remove(self.id);
        }
    }
}

impl Registration {
    /// Without a reserved id, the connection gets another one. A reserved one is of the same shard.
    pub(crate) fn new(
        load: LoadShare,
        id: Option<ReservedId>,
        permit: Permit,
        watched: Option<Box<Watched>>,
    ) -> Self {
        let shard = load.shard();
        let id = id.unwrap_or_else(|| ReservedId::new(shard)).take();
        let opened = Some(NonZero::new(shard.tick() as u32).unwrap_or(NonZero::<u32>::MIN));
        Self { load, id, armed: 0, opened, watched, _permit: permit }
    }

    /// The connection has ended: counts it, and reports it to the observer and the span. Only the first call has an
    /// effect.
    #[cold]
    pub(crate) fn end(&mut self, info: Option<&CloseInfo>) {
        let Some(opened) = self.opened.take() else { return };
        let (watched, shard) = (self.watched.take(), self.load.shard());
        // Tick 0 was noted as 1.
        let ticks = (shard.tick() as u32).wrapping_sub(opened.get()).cast_signed().max(0).unsigned_abs();
        let age = Duration::from_nanos(shard.tick_nanos.saturating_mul(ticks.into()));
        let cut_off = info.is_none().then(cut_off);
        if let Some(info) = info.or(cut_off.as_ref()) {
            shard.server.count_end(info, age);
        }
        if let Some(watched) = watched {
            watched.close(&shard.server, info);
        }
    }

    /// The peer is slow. With `was_slow`, it was so already.
    pub(crate) fn note_slow(&mut self, reason: SlowReason, pressure: &Pressure, was_slow: bool) {
        let shard = self.load.shard();
        shard.server.counters.count_slow(reason, was_slow);
        if let Some(watched) = &mut self.watched {
            let blocked = pressure.blocked_since.map(|since| shard.now().saturating_duration_since(since));
            watched.slow(&shard.server, reason, pressure.queued, blocked.unwrap_or_default());
        }
    }

    /// The peer is no longer slow.
    pub(crate) fn note_caught_up(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.caught_up(&self.load.shard().server);
        }
    }

    /// Whether [`end`](Self::end) was called.
    pub(crate) const fn has_ended(&self) -> bool {
        self.opened.is_none()
    }

    /// The connection's span, if it has one.
    #[inline]
    pub(crate) fn span(&self) -> Option<Span> {
        self.watched.as_ref().map(|watched| watched.span())
    }

    /// Whether an observer or a span watches the connection.
    #[cfg(target_os = "linux")]
    #[inline]
    pub(crate) const fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    pub(crate) const fn shard(&self) -> &Arc<Shard> {
        self.load.shard()
    }

    /// How far the shutdown has come for this connection. While a shutdown is spread over a time, it begins for each
    /// connection at another moment.
    #[inline]
    pub(crate) fn shutdown_phase(&self) -> ShutdownPhase {
        match self.shard().server.phase() {
            ShutdownPhase::Draining if self.is_held_back() => ShutdownPhase::Running,
            phase => phase,
        }
    }

    #[cold]
    fn is_held_back(&self) -> bool {
        fence(Ordering::Acquire);
        !self.shard().registry.is_released(self.id)
    }

    /// The connection's id on its shard. Another connection gets the same id later.
    #[cfg(target_os = "linux")]
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Sets the waker of a connection that has a task of its own.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.shard().registry.set_waker(self.id, waker);
    }

    /// A waker for the connection that works on every thread and between turns. `current` is the waker of this turn.
    pub(crate) fn waker(&self, current: &Waker) -> ConnWaker {
        self.shard().registry.waker(self.id, current)
    }

    /// Whether the timer wheel has an entry for a time after `tick`, or needs none.
    #[inline]
    pub(crate) const fn is_armed(&self, tick: u64) -> bool {
        self.armed > tick
    }

    /// Wakes the connection at `due`, or up to one tick later. An entry for an earlier time is enough, because the
    /// connection then arms its timer again. No entry is further away than [`MAX_TIMER`].
    ///
    /// `None`: there is no deadline. If nothing is in progress (`is_quiet`), this holds until the next call. If not,
    /// reading may only have stopped for a while, and the next turn looks again.
    pub(crate) fn arm(&mut self, due: Option<Instant>, is_quiet: bool, tick: u64) {
        let Some(due) = due else {
            if is_quiet && !self.is_armed(tick) {
                self.armed = NEVER;
            }
            return;
        };
        let shard = self.load.shard();
        let due = (shard.tick_of(due) + 1).min(tick + shard.ticks(MAX_TIMER));
        if !self.is_armed(tick) || due < self.armed {
            self.armed = due;
            shard.registry.wake_at(self.id, due);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // A `tracing` subscriber may panic.
        let _ = guarded(|| self.end(None));
        self.shard().registry.remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use ws_proto::Config;

    use super::*;
    use crate::{
        options::Options,
        shard::{server_state::ServerState, wake::WakeTable},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn shard() -> Arc<Shard> {
        let config = Config::default().validate().unwrap();
        Shard::new(ServerState::new(Options::default(), config.clone(), config), WakeTable::tasks(0))
    }

    fn registration(shard: &Arc<Shard>) -> Registration {
        let permit = shard.server.connections.acquire(None).ok().unwrap();
        Registration::new(LoadShare::new(shard), None, permit, None)
    }

    async fn pass(shard: &Shard, time: Duration) {
        tokio::time::advance(time).await;
        shard.advance();
    }

    #[tokio::test(start_paused = true)]
    async fn timer_entries_of_ended_connections_are_gone_within_a_minute() {
        let shard = shard();
        for _ in 0..10 {
            for _ in 0..1000 {
                let tick = shard.tick();
                registration(&shard).arm(Some(shard.now() + 24 * HOUR), true, tick);
            }
            pass(&shard, MAX_TIMER / 2).await;
        }
        assert!(shard.registry.timers() <= 3000, "{} entries", shard.registry.timers());
        pass(&shard, MAX_TIMER + Duration::from_secs(1)).await;
        assert_eq!(shard.registry.timers(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_distant_deadline_is_armed_once_a_minute_and_never_fires_late() {
        let shard = shard();
        let mut registration = registration(&shard);
        let due = shard.now() + HOUR;
        let mut armed = 0;
        while shard.now() < due {
            let tick = shard.tick();
            if !registration.is_armed(tick) {
                armed += 1;
                registration.arm(Some(due), true, tick);
                assert!(registration.is_armed(tick));
            }
            pass(&shard, Duration::from_secs(1)).await;
        }
        assert!((60..=62).contains(&armed), "{armed}");
        let tick = shard.tick();
        assert!(
            !registration.is_armed(tick) || shard.time_of(registration.armed) <= due + Duration::from_secs(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_deadline_has_no_entry_until_it_has_one() {
        let shard = shard();
        let mut registration = registration(&shard);
        let tick = shard.tick();
        assert!(!registration.is_armed(tick));
        registration.arm(None, false, tick);
        assert!(!registration.is_armed(tick), "something is in progress");
        registration.arm(None, true, tick);
        assert_eq!((registration.is_armed(tick), shard.registry.timers()), (true, 0));
        registration.arm(Some(shard.now() + Duration::from_secs(1)), true, tick);
        assert_eq!((registration.is_armed(tick), shard.registry.timers()), (true, 1));
        // An entry for an earlier time is enough.
        registration.arm(None, true, tick);
        pass(&shard, Duration::from_secs(2)).await;
        assert_eq!((registration.is_armed(shard.tick()), shard.registry.timers()), (false, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_reused_after_its_connection_has_ended() {
        let shard = shard();
        let first = registration(&shard);
        let second = registration(&shard);
        assert_ne!(first.id, second.id);
        let id = first.id;
        drop(first);
        assert_eq!(registration(&shard).id, id);
        drop(second);
        assert!(shard.registry.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reserved_id_becomes_that_of_the_connection_or_is_free_again() {
        let shard = shard();
        let (first, second) = (ReservedId::new(&shard), ReservedId::new(&shard));
        let (unused, id) = (first.id(), second.id());
        let permit = shard.server.connections.acquire(None).ok().unwrap();
        let registration = Registration::new(LoadShare::new(&shard), Some(second), permit, None);
        assert_eq!((registration.id, shard.registry.ids()), (id, vec![unused, id]));
        drop(first);
        assert_eq!(shard.registry.ids(), [id]);
        drop(registration);
        assert!(shard.registry.is_empty());
    }
}
