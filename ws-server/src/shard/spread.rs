//! The closes of a shutdown, spread evenly over a time and over all shards.

use std::{sync::Arc, time::Duration};

use ws_tokio::internal;

use super::registry::Registry;

/// Releases the connections that were held back, evenly over a time, and at its end all that are left.
pub(super) async fn release_evenly(registries: &[Arc<Registry>], time: Duration) {
    if time.is_zero() {
        return;
    }
    let held = registries.iter().map(HeldBack::new);
    let mut held: Vec<_> = held.filter(|held| !held.ids.is_empty()).collect();
    let total: usize = held.iter().map(|held| held.ids.len()).sum();
    internal::release_evenly(total, time, |count| release(&mut held, count)).await;
    registries.iter().for_each(|registry| registry.release_all());
}

/// The connections of a shard that are held back.
struct HeldBack<'a> {
    registry: &'a Registry,
    ids: Vec<u32>,
    /// The number of connections that were released, or are to be released in this step.
    released: usize,
    /// The same before this step.
    before: usize,
}

impl<'a> HeldBack<'a> {
    fn new(registry: &'a Arc<Registry>) -> Self {
        Self { registry, ids: registry.ids(), released: 0, before: 0 }
    }

    /// Whether a larger part of its connections is left than of `other`'s.
    fn has_more_left_than(&self, other: &Self) -> bool {
        let left = |held: &Self| (held.ids.len() - held.released) as u128;
        left(self) * other.ids.len() as u128 > left(other) * self.ids.len() as u128
    }
}

/// Releases connections of all shards, so that about the same part of each is left.
fn release(held: &mut [HeldBack<'_>], count: usize) {
    for _ in 0..count {
        let most =
            held.iter_mut().reduce(|most, next| if next.has_more_left_than(most) { next } else { most });
        if let Some(most) = most {
            most.released += 1;
        }
    }
    for held in held {
        held.registry.release(&held.ids[held.before..held.released]);
        held.before = held.released;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::{Wake, Waker},
    };

    use tokio::time::Instant;

    use super::*;
    use crate::shard::wake::WakeTable;

    const STEP: Duration = Duration::from_millis(10);

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A registry with `used` connections, whose ids are the last of `ids`, and the number of their wake-ups.
    fn registry(ids: u32, used: u32) -> (Arc<Registry>, Arc<Counter>) {
        let registry = Arc::new(Registry::new(WakeTable::tasks(0), 0));
        let counter = Arc::<Counter>::default();
        for _ in 0..ids {
            let id = registry.add(|| ());
            registry.set_waker(id, &Waker::from(Arc::clone(&counter)));
        }
        (0..ids - used).for_each(|id| registry.remove(id));
        registry.hold_back();
        (registry, counter)
    }

    /// How many connections are released, in each hundredth of a second until all are.
    async fn releases(registries: &[Arc<Registry>], time: Duration) -> Vec<usize> {
        let ids: Vec<_> = registries.iter().map(|registry| registry.ids()).collect();
        let count = || {
            let per_registry = registries.iter().zip(&ids);
            per_registry
                .map(|(registry, ids)| ids.iter().filter(|id| registry.is_released(**id)).count())
                .sum()
        };
        let total: usize = ids.iter().map(Vec::len).sum();
        let releasing = release_evenly(registries, time);
        tokio::pin!(releasing);
        let mut counts: Vec<usize> = vec![count()];
        let mut samples = tokio::time::interval(STEP);
        loop {
            tokio::select! {
                biased;
                () = &mut releasing => break,
                _ = samples.tick() => counts.push(count()),
            }
        }
        counts.push(count());
        assert_eq!(counts.last(), Some(&total));
        counts
    }

    fn most_in_a_second(counts: &[usize]) -> usize {
        (0..counts.len()).map(|at| counts[(at + 100).min(counts.len() - 1)] - counts[at]).max().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_connections_of_uneven_shards_close_at_an_even_rate() {
        let shards =
            [registry(7000, 7000), registry(9000, 2000), registry(1, 1), registry(0, 0), registry(999, 999)];
        let registries: Vec<_> = shards.iter().map(|(registry, _)| Arc::clone(registry)).collect();
        let start = Instant::now();
        let counts = releases(&registries, Duration::from_secs(10)).await;
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(10) + 2 * STEP, "{took:?}");
        let most = most_in_a_second(&counts);
        assert!((990..=1020).contains(&most), "{most} in a second");
        // Each connection is woken when it is released, and again at the end.
        let woken: Vec<_> = shards.iter().map(|(_, counter)| counter.0.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [14000, 4000, 2, 0, 1998]);
    }

    #[tokio::test(start_paused = true)]
    async fn few_connections_of_many_shards_close_one_by_one() {
        let shards: Vec<_> = (0..8).map(|_| registry(3, 3).0).collect();
        let counts = releases(&shards, Duration::from_secs(12)).await;
        assert!(counts.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{counts:?}");
        assert!(most_in_a_second(&counts) <= 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_not_made_up_for_by_a_burst() {
        let (registry, _) = registry(1000, 1000);
        let registries = [Arc::clone(&registry)];
        let releasing =
            tokio::spawn(async move { release_evenly(&registries, Duration::from_secs(10)).await });
        let released = || registry.ids().iter().filter(|id| registry.is_released(**id)).count();
        tokio::task::yield_now().await;
        let mut before = 0;
        for stall in [100, 3000, 100, 5000, 20_000] {
            tokio::time::advance(Duration::from_millis(stall)).await;
            tokio::task::yield_now().await;
            assert!(released() - before <= 55, "{} after {stall} ms", released() - before);
            before = released();
        }
        releasing.await.unwrap();
        assert_eq!(released(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_come_later_are_released_at_the_end() {
        let (registry, counter) = registry(10, 10);
        let registries = [Arc::clone(&registry)];
        let releasing =
            tokio::spawn(async move { release_evenly(&registries, Duration::from_secs(10)).await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        let late = registry.add(|| ());
        registry.set_waker(late, &Waker::from(Arc::clone(&counter)));
        assert!(!registry.is_released(late));
        releasing.await.unwrap();
        assert!(registry.is_released(late));
        assert_eq!(counter.0.load(Ordering::Relaxed), 21);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_time_or_connections_nothing_waits() {
        let start = Instant::now();
        release_evenly(&[registry(3, 3).0], Duration::ZERO).await;
        release_evenly(&[registry(0, 0).0], Duration::from_secs(10)).await;
        release_evenly(&[], Duration::from_secs(10)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
