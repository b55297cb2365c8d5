//! Counts panics. A panic in a task is lost when the task's handle is dropped.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// The panics of the whole process since [`Count::start`].
pub(super) struct Count {
    at_start: usize,
}

impl Count {
    pub(super) fn start() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                PANICS.fetch_add(1, Ordering::SeqCst);
                previous(panic);
            }));
        });
        Self { at_start: PANICS.load(Ordering::SeqCst) }
    }

    pub(super) fn so_far(&self) -> usize {
        PANICS.load(Ordering::SeqCst) - self.at_start
    }
}
