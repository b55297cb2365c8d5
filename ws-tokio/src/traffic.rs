//! What the connections of a server have received and sent, summed up.

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ws_proto::{
    TransmitQueue,
    memory::{Traffic, TrafficCounts},
};

/// Slots. Each but the last belongs to one thread, which writes it without atomic read-modify-writes.
const SLOTS: usize = 64;
/// The slot of all threads beyond.
const SHARED: usize = SLOTS - 1;

/// Counters of a server's connections. Each thread adds to a slot of its own, once per turn of a connection.
pub struct TrafficCounters {
    slots: Box<[Slot]>,
    round_trips: TimeCounters,
}

/// Two cache lines, because processors fetch them in pairs.
#[repr(align(128))]
#[derive(Default)]
struct Slot([AtomicU64; Count::ALL]);

/// The counters of a slot.
#[derive(Clone, Copy)]
enum Count {
    ReceivedMessages,
    ReceivedPayload,
    ReceivedWire,
    ReceivedControl,
    SentMessages,
    SentPayload,
    SentWire,
    SentControl,
    Blocked,
    Refused,
    /// A sum of differences that wraps around: the slots together are what waits now.
    Queued,
}

impl Count {
    const ALL: usize = Self::Queued as usize + 1;
}

/// What [`TrafficCounters`] have counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficTotals {
    /// From the peers.
    pub received: TrafficCounts,
    /// To the peers.
    pub sent: TrafficCounts,
    /// How often a transport took no more bytes.
    pub blocked: u64,
    /// Messages that were refused with `Full`.
    pub refused: u64,
    /// Bytes that wait to be written now.
    pub queued: u64,
}

impl TrafficCounters {
    /// All are zero.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::default()).collect(), round_trips: TimeCounters::default() }
    }

    /// Adds what a connection has counted in a turn in its queue. `waiting` bytes wait there.
    #[inline]
    pub(crate) fn add(&self, tx: &mut TransmitQueue, waiting: usize) {
        let (traffic, growth) = tx.traffic(waiting);
        self.take(traffic, growth);
    }

    /// Takes what was counted. What waits has changed by `queued`, in wrapping arithmetic.
    #[inline]
    fn take(&self, traffic: &mut Traffic, queued: u64) {
        let writer = self.writer();
        if writer.is_shared {
            take_usual(traffic, |count, value| writer.take(count, value));
        } else {
            take_usual(traffic, |count, value| writer.add_unshared(count, std::mem::take(value)));
        }
        let Traffic { received, sent, .. } = traffic;
        let rare = queued | traffic.blocked | received.control_frames | sent.control_frames;
        if rare != 0 || traffic.round_trip.is_some() {
            self.take_rare(&writer, traffic, queued);
        }
    }

    /// Takes what few turns count.
    #[cold]
    fn take_rare(&self, writer: &Writer<'_>, traffic: &mut Traffic, queued: u64) {
        let Traffic { received, sent, blocked, round_trip } = traffic;
        writer.take(Count::ReceivedControl, &mut received.control_frames);
        writer.take(Count::SentControl, &mut sent.control_frames);
        writer.take(Count::Blocked, blocked);
        writer.add(Count::Queued, queued);
        if let Some(sample) = round_trip.take() {
            self.round_trips.record(sample);
        }
    }

    /// A message was sent in a frame of `wire` bytes, which the transport has taken.
    #[inline]
    pub(crate) fn add_sent(&self, payload: usize, wire: usize) {
        let writer = self.writer();
        writer.add(Count::SentMessages, 1);
        writer.add(Count::SentPayload, payload as u64);
        writer.add(Count::SentWire, wire as u64);
    }

    /// A message was refused with `Full`.
    pub fn add_refused(&self) {
        self.writer().add(Count::Refused, 1);
    }

    /// The sums over all threads.
    #[must_use]
    pub fn totals(&self) -> TrafficTotals {
        let sum = |count: Count| {
            self.slots.iter().fold(0_u64, |sum, slot| sum.wrapping_add(slot.0[count as usize].load(Relaxed)))
        };
        TrafficTotals {
            received: TrafficCounts {
                messages: sum(Count::ReceivedMessages),
                payload_bytes: sum(Count::ReceivedPayload),
                wire_bytes: sum(Count::ReceivedWire),
                control_frames: sum(Count::ReceivedControl),
            },
            sent: TrafficCounts {
                messages: sum(Count::SentMessages),
                payload_bytes: sum(Count::SentPayload),
                wire_bytes: sum(Count::SentWire),
                control_frames: sum(Count::SentControl),
            },
            blocked: sum(Count::Blocked),
            refused: sum(Count::Refused),
            // A difference may be added on one thread before an earlier one on another.
            queued: sum(Count::Queued).cast_signed().max(0).cast_unsigned(),
        }
    }

    /// The round-trip times of keepalive pings.
    #[must_use]
    pub const fn round_trips(&self) -> &TimeCounters {
        &self.round_trips
    }

    #[inline]
    fn writer(&self) -> Writer<'_> {
        let slot = ThreadSlot::current();
        Writer { slot: &self.slots[slot], is_shared: slot == SHARED }
    }
}

impl Default for TrafficCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TrafficCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.totals().fmt(f)
    }
}

struct Writer<'a> {
    slot: &'a Slot,
    is_shared: bool,
}

impl Writer<'_> {
    #[inline]
    fn take(&self, count: Count, value: &mut u64) {
        self.add(count, std::mem::take(value));
    }

    #[inline]
    fn add(&self, count: Count, value: u64) {
        if !self.is_shared {
            self.add_unshared(count, value);
        } else if value != 0 {
            self.slot.0[count as usize].fetch_add(value, Relaxed);
        }
    }

    /// Adds to a slot that no other thread writes.
    #[inline]
    fn add_unshared(&self, count: Count, value: u64) {
        let counter = &self.slot.0[count as usize];
        counter.store(counter.load(Relaxed).wrapping_add(value), Relaxed);
    }
}

/// Takes what most turns count.
#[inline(always)]
fn take_usual(traffic: &mut Traffic, take: impl Fn(Count, &mut u64)) {
    let Traffic { received, sent, .. } = traffic;
    take(Count::ReceivedMessages, &mut received.messages);
    take(Count::ReceivedPayload, &mut received.payload_bytes);
    take(Count::ReceivedWire, &mut received.wire_bytes);
    take(Count::SentMessages, &mut sent.messages);
    take(Count::SentPayload, &mut sent.payload_bytes);
    take(Count::SentWire, &mut sent.wire_bytes);
}

/// The number of a thread's slot. It is free again when the thread has ended.
struct ThreadSlot(usize);

/// The slots that no thread has.
static FREE: Mutex<FreeSlots> = Mutex::new(FreeSlots { next: 0, returned: Vec::new() });

struct FreeSlots {
    next: usize,
    returned: Vec<usize>,
}

thread_local! {
    static THREAD_SLOT: RefCell<Option<ThreadSlot>> = const { RefCell::new(None) };
    /// The number of the thread's slot; `UNKNOWN` until it counts something. It has no destructor, so reading it is
    /// cheap.
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
}

const UNKNOWN: usize = SLOTS;

impl ThreadSlot {
    #[inline]
    fn current() -> usize {
        let number = NUMBER.get();
        if number == UNKNOWN { Self::find() } else { number }
    }

    #[cold]
    fn find() -> usize {
        let number = |slot: &RefCell<Option<Self>>| slot.borrow_mut().get_or_insert_with(Self::take).0;
        // While the thread ends it may have none.
        let number = THREAD_SLOT.try_with(number).unwrap_or(SHARED);
        NUMBER.set(number);
        number
    }

    #[cold]
    fn take() -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = free.returned.pop() {
            return Self(number);
        }
        let number = free.next;
        free.next = (number + 1).min(SHARED);
        Self(number)
    }
}

impl Drop for ThreadSlot {
    fn drop(&mut self) {
        NUMBER.set(SHARED);
        if self.0 != SHARED {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).returned.push(self.0);
        }
    }
}

/// Times, counted in buckets whose bounds are powers of two microseconds.
#[derive(Debug)]
pub struct TimeCounters {
    buckets: [AtomicU64; Self::BUCKETS],
    sum_micros: AtomicU64,
}

impl TimeCounters {
    /// The number of buckets. Bucket `n` has the times below 2^n µs that no earlier one has; the last has the rest.
    pub const BUCKETS: usize = 40;

    /// Counts a time.
    pub fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[Self::bucket_of(micros)].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// The bucket of a time.
    #[must_use]
    pub const fn bucket_of(micros: u64) -> usize {
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        if bucket < Self::BUCKETS { bucket } else { Self::BUCKETS - 1 }
    }

    /// The count of each bucket, and the sum of all times in microseconds.
    #[must_use]
    pub fn load(&self) -> ([u64; Self::BUCKETS], u64) {
        (std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)), self.sum_micros.load(Relaxed))
    }
}

impl Default for TimeCounters {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; Self::BUCKETS], sum_micros: AtomicU64::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn one_message() -> Traffic {
        let mut traffic = Traffic::default();
        (traffic.received.messages, traffic.sent.payload_bytes) = (1, 10);
        traffic
    }

    #[test]
    fn the_sums_over_more_threads_than_slots_are_exact() {
        let counters = TrafficCounters::new();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..2 * SLOTS)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            counters.take(&mut one_message(), 0);
                        }
                        counters.add_refused();
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        let totals = counters.totals();
        let expected = 2 * SLOTS as u64;
        assert_eq!(totals.received.messages, expected * 1000);
        assert_eq!(totals.sent.payload_bytes, expected * 10_000);
        assert_eq!(totals.refused, expected);
    }

    #[test]
    fn what_waits_may_grow_on_one_thread_and_shrink_on_another() {
        let counters = TrafficCounters::new();
        counters.take(&mut Traffic::default(), 500);
        thread::scope(|scope| {
            scope.spawn(|| counters.take(&mut Traffic::default(), 100_u64.wrapping_sub(500)));
        });
        assert_eq!(counters.totals().queued, 100);
        counters.take(&mut Traffic::default(), 0_u64.wrapping_sub(100));
        assert_eq!(counters.totals(), TrafficTotals::default());
    }

    #[test]
    fn a_thread_that_ends_leaves_its_slot_to_another() {
        let numbers: Vec<_> =
            (0..3 * SLOTS).map(|_| thread::spawn(ThreadSlot::current).join().unwrap()).collect();
        assert!(numbers.iter().all(|number| *number < SHARED), "{numbers:?}");
    }
}
