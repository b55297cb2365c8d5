//! The bytes that wait for the broker's answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::BackplaneError;

/// A limit for the bytes in flight.
#[derive(Debug, Clone)]
pub(super) struct Window {
    used: Arc<AtomicUsize>,
    limit: usize,
}

/// A share of the window. It ends with this value.
#[derive(Debug)]
pub(super) struct Share {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Window {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: Arc::default(), limit }
    }

    /// Takes a share. One publication that is larger than the whole window is admitted when nothing is in flight.
    pub(super) fn take(&self, bytes: usize) -> Result<Share, BackplaneError> {
        let fits = |used: usize| {
            let sum = used.saturating_add(bytes);
            (used == 0 || sum <= self.limit).then_some(sum)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Share { used: Arc::clone(&self.used), bytes }),
            Err(in_flight) => Err(BackplaneError::Full { in_flight, limit: self.limit }),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_refuses_until_a_share_ends() {
        let window = Window::new(10);
        let share = window.take(8).unwrap();
        assert!(matches!(window.take(3), Err(BackplaneError::Full { in_flight: 8, limit: 10 })));
        let rest = window.take(2).unwrap();
        drop(share);
        drop(window.take(8).unwrap());
        drop(rest);
        drop(window.take(1_000).expect("nothing is in flight"));
    }
}
