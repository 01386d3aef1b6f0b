//! The threads of one calculator.

use crate::error::{Error, Result};

/// More threads than this are a mistake.
const MOST: u32 = 4096;

/// A pool of threads of its own, or the one that the process shares.
#[derive(Default)]
pub(super) struct Threads {
    #[cfg(feature = "cpu")]
    pool: Option<rayon::ThreadPool>,
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
        #[cfg(feature = "cpu")]
        if count > 0 {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(count as usize)
                .thread_name(|k| format!("nepal-{k}"))
                .build()
                .map_err(|e| Error::Backend(format!("cannot start {count} threads: {e}")))?;
            return Ok(Self { pool: Some(pool) });
        }
        Ok(Self::default())
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
