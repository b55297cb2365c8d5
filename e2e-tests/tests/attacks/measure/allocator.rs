//! An allocator that counts the memory of the server's threads, and fails for them when a test requires it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

thread_local! {
    static OUTSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Bytes that the server's threads hold.
static HELD: AtomicIsize = AtomicIsize::new(0);
/// The largest number of bytes that they have held since [`Memory::start`].
static PEAK: AtomicIsize = AtomicIsize::new(0);
/// The number of their allocations.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// Their allocations of this many bytes or more fail.
static FAIL_FROM: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static ALLOCATOR: Watched = Watched;

struct Watched;

pub(super) fn mark_outside() {
    OUTSIDE.set(true);
}

/// Makes allocations of `bytes` or more fail on the server's threads. With `usize::MAX`, none fails.
pub(crate) fn fail_from(bytes: usize) {
    FAIL_FROM.store(bytes, Relaxed);
}

/// The memory of the server's threads, measured from a starting point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    held: isize,
    requests: usize,
}

impl Memory {
    pub(crate) fn start() -> Self {
        let held = HELD.load(Relaxed);
        PEAK.store(held, Relaxed);
        Self { held, requests: REQUESTS.load(Relaxed) }
    }

    /// The bytes held now, minus those at the start.
    pub(crate) fn grown(&self) -> isize {
        HELD.load(Relaxed) - self.held
    }

    /// The peak of the bytes held, minus those at the start.
    pub(crate) fn peak(&self) -> usize {
        usize::try_from(PEAK.load(Relaxed) - self.held).unwrap_or(0)
    }

    /// The number of allocations since the start.
    pub(crate) fn requests(&self) -> usize {
        REQUESTS.load(Relaxed) - self.requests
    }

    /// The bytes that the server's threads hold.
    pub(crate) fn held() -> isize {
        HELD.load(Relaxed)
    }
}

fn is_server() -> bool {
    // A thread that is ending has no thread-local values. It counts as the server's.
    !OUTSIDE.try_with(Cell::get).unwrap_or(false)
}

/// Whether this allocation succeeds on the server's threads.
fn grants(bytes: usize) -> bool {
    bytes < FAIL_FROM.load(Relaxed) || !is_server()
}

fn note(change: isize) {
    if is_server() {
        let held = HELD.fetch_add(change, Relaxed) + change;
        if change > 0 {
            REQUESTS.fetch_add(1, Relaxed);
            PEAK.fetch_max(held, Relaxed);
        }
    }
}

/// The size of a layout, which is at most `isize::MAX`.
const fn signed(bytes: usize) -> isize {
    bytes as isize
}

// SAFETY: each call is passed to the system's allocator or refused with a null pointer, as the trait allows. The
// counters never allocate.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !grants(layout.size()) {
            return std::ptr::null_mut();
        }
        note(signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !grants(layout.size()) {
            return std::ptr::null_mut();
        }
        note(signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && !grants(size) {
            return std::ptr::null_mut();
        }
        note(signed(size) - signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-signed(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn what_the_server_holds_is_counted_and_what_the_attacker_holds_is_not() {
    e2e_tests::harness::isolated(|| {
        on_a_thread(|| {
            mark_outside();
            let memory = Memory::start();
            let own = vec![1_u8; 10_000];
            assert!(memory.grown() < 10_000, "the attacker's own");
            let theirs = std::thread::spawn(|| vec![1_u8; 50_000]).join().unwrap();
            // A thread's own allocations are included.
            assert!((49_000..60_000).contains(&memory.grown()), "{}", memory.grown());
            assert!(memory.peak() >= 49_000 && memory.requests() >= 1);
            drop((own, theirs));
        });
    });
}

#[test]
fn a_server_without_memory_gets_an_error_and_the_attacker_does_not() {
    e2e_tests::harness::isolated(|| {
        on_a_thread(|| {
            fail_from(64 * 1024);
            let refused = Vec::<u8>::new().try_reserve_exact(64 * 1024).is_err();
            mark_outside();
            let granted = Vec::<u8>::new().try_reserve_exact(64 * 1024).is_ok();
            fail_from(usize::MAX);
            assert!(refused && granted);
        });
    });
}

/// A thread keeps its mark until it ends.
#[cfg(test)]
fn on_a_thread(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(test).join()).unwrap();
}
