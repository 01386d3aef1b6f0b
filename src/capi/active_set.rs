//! Active sets.

use super::guard::silent;
use super::handle::{self, Handle};
use crate::grade::ActiveSet;
use std::sync::Arc;

/// What a model was trained on, boiled down to what grades need; never changes.
///
/// Threads and ownership: any number of threads may use one set at once. Calculators keep what they
/// need of it: free it when you no longer need it yourself.
///
/// Since: 0.1.
pub struct nepal_active_set_t {
    _private: [u8; 0],
}

impl Handle for nepal_active_set_t {
    type Object = Arc<ActiveSet>;
    const MARK: u64 = u64::from_le_bytes(*b"nepalSet");
    const NAME: &'static str = "nepal_active_set_t";
}

/// Frees an active set; NULL is allowed.
///
/// Threads and ownership: calculators that use it stay valid.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_free(active_set: *mut nepal_active_set_t) {
    silent(|| {
        // SAFETY: the caller's promise, passed on.
        unsafe { handle::free(active_set) }
    })
}
