//! An allocator that counts per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The bytes that the process holds.
static HELD: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// The number of allocations of this thread so far.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// The bytes that all threads of the process hold.
pub(crate) fn held() -> isize {
    HELD.load(Relaxed)
}

/// The size of a layout, which is at most `isize::MAX`.
fn note(change: usize, taken: bool) {
    HELD.fetch_add(if taken { change as isize } else { -(change as isize) }, Relaxed);
}

fn count() {
    // The cell is gone while a thread ends. No test measures that.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: each call is passed to the system's allocator. The counter is a plain cell that never allocates.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        note(layout.size(), true);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        note(layout.size(), true);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        note(layout.size(), false);
        note(size, true);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(layout.size(), false);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn every_way_to_get_memory_is_counted_on_its_own_thread() {
    let before = allocations();
    let mut vec: Vec<u8> = Vec::with_capacity(std::hint::black_box(10));
    assert_eq!(allocations() - before, 1);
    vec.reserve_exact(std::hint::black_box(1000));
    assert_eq!(allocations() - before, 2);
    drop(std::hint::black_box(vec![0_u8; std::hint::black_box(100)]));
    assert_eq!(allocations() - before, 3);
    drop(vec);
    assert_eq!(allocations() - before, 3);
    let on_other_thread = std::thread::spawn(allocations_of_one_box).join().expect("no panic");
    assert!(on_other_thread >= 1);
}

fn allocations_of_one_box() -> u64 {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1_u64)));
    allocations() - before
}
