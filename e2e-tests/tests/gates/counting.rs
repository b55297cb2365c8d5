//! An allocator that counts, thread by thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that the process has taken and not given back.
static HELD: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// How often this thread has asked for memory so far.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Bytes that all threads of the process hold.
pub(crate) fn held() -> isize {
    HELD.load(Relaxed)
}

/// A layout is never larger than `isize::MAX`.
fn note(change: usize, taken: bool) {
    HELD.fetch_add(if taken { change as isize } else { -(change as isize) }, Relaxed);
}

fn count() {
    // Not there any more while a thread ends; nobody measures that.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is left to the system's allocator; the counter is a plain cell that never allocates.
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
    let elsewhere = std::thread::spawn(allocations_of_one_box).join().expect("no panic");
    assert!(elsewhere >= 1);
}

fn allocations_of_one_box() -> u64 {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1_u64)));
    allocations() - before
}
