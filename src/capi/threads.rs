//! The threads of one calculator.
//!
//! Threads do not survive a `fork`: whoever comes back in a child gets others, made there.

use crate::error::{Error, Result};

/// More threads than this are a mistake.
const MOST: u32 = 4096;

/// A pool of threads of its own, or the one that the process shares.
pub(super) struct Threads {
    count: u32,
    /// The process that has the threads.
    process: u32,
    #[cfg(feature = "cpu")]
    pool: Option<std::sync::Arc<rayon::ThreadPool>>,
}

impl Threads {
    /// So many threads; 0 stands for the shared pool, which has one for each core.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a number without sense, [`Error::Backend`] if the
    /// system gives no threads.
    pub fn new(count: u32) -> Result<Self> {
        if count > MOST {
            return Err(Error::invalid(format!(
                "`threads` of the nepal_calculator_options_t is {count}; expected 1 to {MOST}, or 0 for one for each core"
            )));
        }
        Ok(Self {
            count,
            process: std::process::id(),
            #[cfg(feature = "cpu")]
            pool: match count {
                0 => pool::of_child()?,
                count => Some(pool::make(count)?),
            },
        })
    }

    /// Whether these threads are another process's, of which this one is a fork.
    pub fn forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// As many threads of this process in their place.
    ///
    /// **Errors**: [`Error::Backend`] if the system gives no threads.
    pub fn renew(&mut self) -> Result<()> {
        *self = Self::new(self.count)?;
        Ok(())
    }

    /// Runs something that may divide itself among the threads.
    pub fn run<R: Send>(&self, body: impl FnOnce() -> R + Send) -> R {
        #[cfg(feature = "cpu")]
        if let Some(pool) = &self.pool {
            return pool.install(body);
        }
        body()
    }
}

#[cfg(feature = "cpu")]
impl Drop for Threads {
    fn drop(&mut self) {
        if self.forked() {
            // Ending a pool wakes its threads, which are not here.
            std::mem::forget(self.pool.take());
        }
    }
}

#[cfg(feature = "cpu")]
mod pool {
    use super::{Error, Result};
    use rayon::{ThreadPool, ThreadPoolBuilder};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex, TryLockError};

    /// So many threads; 0 for one for each core.
    pub(super) fn make(count: u32) -> Result<Arc<ThreadPool>> {
        ThreadPoolBuilder::new()
            .num_threads(count as usize)
            .thread_name(|k| format!("nepal-{k}"))
            .build()
            .map(Arc::new)
            .map_err(|e| Error::Backend(format!("cannot start {count} threads: {e}")))
    }

    /// What a fork has in place of rayon's pool, whose threads are its parent's; none in the process that
    /// was first here.
    pub(super) fn of_child() -> Result<Option<Arc<ThreadPool>>> {
        static FIRST: AtomicU32 = AtomicU32::new(0);
        static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
        let own = std::process::id();
        match FIRST.compare_exchange(0, own, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Ok(None),
            Err(first) if first == own => return Ok(None),
            Err(_) => {}
        }
        let mut kept = match POOL.try_lock() {
            Ok(kept) => kept,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Held perhaps by a thread that the fork left behind: nobody is to wait for it.
            Err(TryLockError::WouldBlock) => return make(0).map(Some),
        };
        if let Some((process, pool)) = &*kept
            && *process == own
        {
            return Ok(Some(Arc::clone(pool)));
        }
        let pool = make(0)?;
        std::mem::forget(kept.replace((own, Arc::clone(&pool))));
        Ok(Some(pool))
    }
}
