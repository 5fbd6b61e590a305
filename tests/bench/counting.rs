//! An allocator that counts what each thread asks of the one below it.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static SHOWN: Cell<Option<&'static AtomicU64>> = const { Cell::new(None) };
}

/// Counts and passes on. To be the `#[global_allocator]`.
pub struct Counting<A>(pub A);

/// How often `run` allocates: new pieces of memory, and those that are made larger or smaller.
pub fn allocations(run: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    run();
    CALLS.get() - before
}

/// From now on other threads can read here how often this one has allocated.
#[allow(dead_code)] // most count on a thread of their own
pub fn show(counter: &'static AtomicU64) {
    SHOWN.set(Some(counter));
}

fn count() {
    // a thread that ends may free and allocate when its counters are gone already
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    let _ = SHOWN.try_with(|shown| shown.get().map(|counter| counter.fetch_add(1, Relaxed)));
}

// === impl Counting ===

// SAFETY: every call is passed on as it came; counting allocates nothing and cannot unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the allocator below asks for.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { self.0.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(at, layout) }
    }
}
