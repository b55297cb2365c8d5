use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::BackplaneError;

/// Bounds the publications in flight, in bytes.
#[derive(Debug)]
pub(super) struct Window {
    in_flight: Arc<AtomicUsize>,
    limit: usize,
}

/// Room in the window, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    in_flight: Arc<AtomicUsize>,
    bytes: usize,
}

impl Window {
    pub(super) fn new(limit: usize) -> Self {
        Self { in_flight: Arc::default(), limit }
    }

    pub(super) fn reserve(&self, bytes: usize) -> Result<Room, BackplaneError> {
        let limit = self.limit;
        let add = |in_flight: usize| in_flight.checked_add(bytes).filter(|sum| *sum <= limit);
        match self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Room { in_flight: Arc::clone(&self.in_flight), bytes }),
            Err(in_flight) => Err(BackplaneError::Full { in_flight, limit }),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
