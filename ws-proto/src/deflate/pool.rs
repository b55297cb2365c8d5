//! Codecs that connections share, and the memory reserved for those that connections keep.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::codec::{Deflater, Inflater};

/// The number of idle codecs of each kind that are kept: enough for as many threads that compress at the same time.
const KEPT: usize = 16;

/// Idle codecs, and the total of reserved memory. Clones share both.
#[derive(Debug, Clone, Default)]
pub(super) struct CodecPool(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    idle: Mutex<Idle>,
    reserved: AtomicUsize,
}

#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "the boxes move to connections, which are smaller with boxes")]
struct Idle {
    deflaters: Vec<Box<Deflater>>,
    inflaters: Vec<Box<Inflater>>,
}

/// Memory that is reserved for codecs. Dropping it releases the reservation.
#[derive(Debug)]
pub(crate) struct Reservation {
    shared: Arc<Shared>,
    bytes: usize,
}

impl CodecPool {
    pub(super) fn take_deflater(&self, level: u8, window_bits: u8) -> Box<Deflater> {
        let idle = {
            let deflaters = &mut self.idle().deflaters;
            let fitting = deflaters.iter().rposition(|deflater| deflater.is_for(level, window_bits));
            fitting.map(|at| deflaters.swap_remove(at))
        };
        idle.unwrap_or_else(|| Box::new(Deflater::new(level, window_bits)))
    }

    pub(super) fn take_inflater(&self) -> Box<Inflater> {
        let idle = self.idle().inflaters.pop();
        idle.unwrap_or_default()
    }

    pub(super) fn put_deflater(&self, mut deflater: Box<Deflater>) {
        deflater.reset();
        let deflaters = &mut self.idle().deflaters;
        if deflaters.len() < KEPT {
            deflaters.push(deflater);
        }
    }

    pub(super) fn put_inflater(&self, mut inflater: Box<Inflater>) {
        inflater.reset();
        let inflaters = &mut self.idle().inflaters;
        if inflaters.len() < KEPT {
            inflaters.push(inflater);
        }
    }

    /// Reserves `bytes`, unless the total would exceed `budget`.
    pub(super) fn reserve(&self, bytes: usize, budget: usize) -> Option<Reservation> {
        let add = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= budget);
        self.0.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Reservation { shared: Arc::clone(&self.0), bytes })
    }

    /// Reserves `bytes`, even if the total exceeds the budget.
    pub(super) fn reserve_anyway(&self, bytes: usize) -> Reservation {
        self.0.reserved.fetch_add(bytes, Ordering::Relaxed);
        Reservation { shared: Arc::clone(&self.0), bytes }
    }

    #[cfg(test)]
    pub(super) fn reserved(&self) -> usize {
        self.0.reserved.load(Ordering::Relaxed)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // No code under the lock can leave the lists half-changed.
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
