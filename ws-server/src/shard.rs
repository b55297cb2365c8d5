//! What the connections of one thread (or of one runtime) share: the clock, the deadlines, and who there is.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    heads::HeadBuffers,
    hub::Hub,
    slots::Slot,
    summons::{Caller, Summons},
    wheel::Wheel,
};

/// Unused message buffers are given back to the allocator this often.
const TRIM_EVERY: Duration = Duration::from_secs(2);
/// A connection looks at its deadlines this often at least, if it has any. What it leaves on the wheel when it ends is gone
/// as soon: with a deadline of hours, and connections that come and go, that would be a lot.
const LOOKS_AFTER: Duration = Duration::from_secs(60);

pub(crate) struct Shard {
    pub(crate) hub: Arc<Hub>,
    started: Instant,
    tick_nanos: u64,
    /// The current tick: time for all connections, read from the clock once per tick and not per message.
    tick: AtomicU64,
    seats: Mutex<Seats>,
    /// Told when the first seat is taken.
    occupied: Notify,
    pub(crate) heads: HeadBuffers,
    /// Connections and handshakes that were given to this shard.
    load: AtomicUsize,
}

/// A connection's or a handshake's share of a shard's load.
pub(crate) struct Place(Arc<Shard>);

impl Place {
    pub(crate) fn new(shard: &Arc<Shard>) -> Self {
        shard.load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shard))
    }

    pub(crate) const fn shard(&self) -> &Arc<Shard> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Seats {
    summons: Summons,
    /// Seats there are, taken or not.
    count: u32,
    free: Vec<u32>,
    taken: usize,
    wheel: Wheel,
}

impl Shard {
    pub(crate) fn new(hub: Arc<Hub>, summons: Summons) -> Arc<Self> {
        let initial = hub.options.initial_connections;
        let seats =
            Seats { summons, count: 0, free: Vec::with_capacity(initial), taken: 0, wheel: Wheel::new() };
        Arc::new(Self {
            started: now(),
            tick_nanos: hub.tick_len().as_nanos() as u64,
            tick: AtomicU64::new(0),
            seats: Mutex::new(seats),
            occupied: Notify::new(),
            heads: HeadBuffers::new(hub.options.initial_handshakes),
            load: AtomicUsize::new(0),
            hub,
        })
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

    /// Runs the clock and the wheel as long as anybody sits here, and calls `trim` now and then. Never returns.
    pub(crate) async fn run_clock(self: Arc<Self>, trim: fn()) {
        let mut trimmed = now();
        loop {
            let occupied = self.occupied.notified();
            if self.seats().taken == 0 {
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

    /// Wakes every connection: the hub has news.
    pub(crate) fn wake_all(&self) {
        let everybody = self.seats().summons.everybody();
        everybody.make();
    }

    fn advance(&self) {
        let tick = self.refresh();
        let due = {
            let mut seats = self.seats();
            let Seats { summons, wheel, .. } = &mut *seats;
            let mut due = Vec::new();
            wheel.advance(tick, |seat| due.push(seat));
            summons.calls(&due)
        };
        due.make();
    }

    fn refresh(&self) -> u64 {
        let tick = self.tick_of(now());
        self.tick.fetch_max(tick, Ordering::Relaxed);
        tick
    }

    /// The tick in which `at` lies.
    fn tick_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_nanos() as u64 / self.tick_nanos
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place on its shard: how it is woken, and when.
pub(crate) struct Seat {
    place: Place,
    number: u32,
    /// The earliest tick that the wheel has an entry for; 0 if none.
    armed: u64,
    _slot: Slot,
}

impl Seat {
    pub(crate) fn take(place: Place, slot: Slot) -> Self {
        let shard = place.shard();
        let number = {
            let mut seats = shard.seats();
            seats.taken += 1;
            if seats.taken == 1 {
                // The clock may have stood still while nobody was here.
                shard.refresh();
                shard.occupied.notify_waiters();
            }
            seats.free.pop().unwrap_or_else(|| {
                seats.count += 1;
                seats.count - 1
            })
        };
        Self { place, number, armed: 0, _slot: slot }
    }

    pub(crate) const fn shard(&self) -> &Arc<Shard> {
        self.place.shard()
    }

    /// Its number on the shard; given again once it is free.
    #[cfg(target_os = "linux")]
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// Remembers how to wake the connection's own task.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.shard().seats().summons.set(self.number, waker);
    }

    /// What calls the connection from anywhere and at any time; `current` is the waker that its turn got.
    pub(crate) fn caller(&self, current: &Waker) -> Caller {
        self.shard().seats().summons.caller(self.number, current)
    }

    /// Whether the wheel has an entry for a time after `tick`.
    #[inline]
    pub(crate) const fn is_armed(&self, tick: u64) -> bool {
        self.armed > tick
    }

    /// Sees that the task is woken at `due`, or up to one tick later. An entry for an earlier time is enough: the task
    /// looks again then. None is further away than [`LOOKS_AFTER`].
    pub(crate) fn arm(&mut self, due: Option<Instant>, tick: u64) {
        let Some(due) = due else { return };
        let shard = self.shard();
        let due = (shard.tick_of(due) + 1).min(tick + LOOKS_AFTER.as_nanos() as u64 / shard.tick_nanos);
        if !self.is_armed(tick) || due < self.armed {
            self.armed = due;
            self.shard().seats().wheel.add(self.number, due);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.shard().seats();
        seats.summons.clear(self.number);
        seats.free.push(self.number);
        seats.taken -= 1;
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use ws_proto::Config;

    use super::*;
    use crate::options::Options;

    const HOUR: Duration = Duration::from_secs(3600);

    fn shard() -> Arc<Shard> {
        let config = Config::default().build().unwrap();
        let hub = Hub::new(Options::default(), Arc::clone(&config), config);
        hub.new_shard(Summons::tasks(0))
    }

    fn seat(shard: &Arc<Shard>) -> Seat {
        Seat::take(Place::new(shard), shard.hub.connections.take(None).ok().unwrap())
    }

    async fn pass(shard: &Shard, time: Duration) {
        tokio::time::advance(time).await;
        shard.advance();
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_left_is_forgotten_within_a_minute_whatever_it_waited_for() {
        let shard = shard();
        for _ in 0..10 {
            for _ in 0..1000 {
                let tick = shard.tick();
                seat(&shard).arm(Some(shard.now() + 24 * HOUR), tick);
            }
            pass(&shard, LOOKS_AFTER / 2).await;
        }
        assert!(shard.seats().wheel.len() <= 3000, "{} entries", shard.seats().wheel.len());
        pass(&shard, LOOKS_AFTER + Duration::from_secs(1)).await;
        assert_eq!(shard.seats().wheel.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_far_away_is_looked_at_now_and_then_and_never_late() {
        let shard = shard();
        let mut seat = seat(&shard);
        let due = shard.now() + HOUR;
        let mut looks = 0;
        while shard.now() < due {
            let tick = shard.tick();
            if !seat.is_armed(tick) {
                looks += 1;
                seat.arm(Some(due), tick);
                assert!(seat.is_armed(tick));
            }
            pass(&shard, Duration::from_secs(1)).await;
        }
        assert!((60..=62).contains(&looks), "{looks}");
        let tick = shard.tick();
        assert!(!seat.is_armed(tick) || shard.time_of(seat.armed) <= due + Duration::from_secs(1));
    }
}
