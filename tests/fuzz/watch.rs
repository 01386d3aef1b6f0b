//! What an input costs, and which code it reaches.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts what is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// Every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Forgets the peak of before.
pub fn reset_peak() {
    PEAK.store(NOW.load(Relaxed), Relaxed);
}

/// Most bytes that were allocated at once since [`reset_peak`].
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Processor seconds of this process.
pub fn processor_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

/// Ends the process that asks for more address space than this.
pub fn limit_memory(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    let done = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert!(done == 0, "the limit of memory is not set");
}

thread_local! {
    /// Counters of the branches that LLVM's instrumentation adds, if the crates were built with it.
    static COUNTERS: RefCell<Vec<&'static mut [u8]>> = const { RefCell::new(Vec::new()) };
}

/// Called by instrumented modules before `main`, with the same counters by several.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    COUNTERS.with_borrow_mut(|all| {
        let length = end as usize - start as usize;
        let known = all.iter().any(|c| c.as_ptr() == start.cast_const());
        if length > 0 && !known {
            all.push(unsafe { std::slice::from_raw_parts_mut(start, length) });
        }
    });
}

/// The branches reached so far, each with how often in powers of two.
#[derive(Default)]
pub struct Reached(Vec<u8>);

impl Reached {
    /// Takes what was reached since the last call; true if something was for the first time.
    pub fn takes_new(&mut self) -> bool {
        let mut new = false;
        COUNTERS.with_borrow_mut(|all| {
            self.0.resize(all.iter().map(|c| c.len()).sum(), 0);
            let known = self.0.iter_mut();
            for (known, counter) in known.zip(all.iter_mut().flat_map(|c| c.iter_mut())) {
                if *counter > 0 {
                    let class = 1 << (*counter).ilog2();
                    new |= *known & class == 0;
                    *known |= class;
                    *counter = 0;
                }
            }
        });
        new
    }

    /// How many branches were reached.
    pub fn count(&self) -> usize {
        self.0.iter().filter(|c| **c > 0).count()
    }
}
