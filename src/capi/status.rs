//! Statuses and the text of the last error.

use super::guard;
use super::text;
use crate::error::Error;
use std::cell::RefCell;
use std::ffi::c_char;

/// What every function returns: `NEPAL_STATUS_SUCCESS`, a positive `NEPAL_STATUS_...`, or the
/// negative number with which the caller's own callback stopped the call.
///
/// Since: 0.1.
pub type nepal_status_t = i32;

/// The call did what was asked. Since: 0.1.
pub const NEPAL_STATUS_SUCCESS: nepal_status_t = 0;
/// An argument is not acceptable: NULL, out of range, NaN, of the wrong kind. Since: 0.1.
pub const NEPAL_STATUS_INVALID_ARGUMENT: nepal_status_t = 1;
/// The operating system refused a file operation. Since: 0.1.
pub const NEPAL_STATUS_IO: nepal_status_t = 2;
/// A file does not follow its format; the text names file and line. Since: 0.1.
pub const NEPAL_STATUS_PARSE: nepal_status_t = 3;
/// The input is legal but this version or build does not support it. Since: 0.1.
pub const NEPAL_STATUS_UNSUPPORTED: nepal_status_t = 4;
/// A text does not fit the caller's buffer; `needed` says how many bytes it takes. Since: 0.1.
pub const NEPAL_STATUS_BUFFER_TOO_SMALL: nepal_status_t = 5;
/// The compute backend is not available or failed. Since: 0.1.
pub const NEPAL_STATUS_BACKEND: nepal_status_t = 6;
/// A callback returned a positive number, which has no meaning. Since: 0.1.
pub const NEPAL_STATUS_CALLBACK: nepal_status_t = 7;
/// A broken promise inside nepal, a caught panic among them; please report it. Since: 0.1.
pub const NEPAL_STATUS_INTERNAL: nepal_status_t = 8;
/// A step that nepal ran failed. Since: 0.1.
pub const NEPAL_STATUS_FAILED: nepal_status_t = 9;

/// The number that C sees for an error.
pub(super) fn of(error: &Error) -> nepal_status_t {
    match error {
        Error::InvalidArgument(_) => NEPAL_STATUS_INVALID_ARGUMENT,
        Error::Io { .. } => NEPAL_STATUS_IO,
        Error::Parse { .. } => NEPAL_STATUS_PARSE,
        Error::Unsupported(_) => NEPAL_STATUS_UNSUPPORTED,
        Error::BufferTooSmall { .. } => NEPAL_STATUS_BUFFER_TOO_SMALL,
        Error::Backend(_) => NEPAL_STATUS_BACKEND,
        Error::Callback(status) if *status < 0 => *status,
        Error::Callback(_) => NEPAL_STATUS_CALLBACK,
        Error::Failed(_) => NEPAL_STATUS_FAILED,
        Error::Internal(_) => NEPAL_STATUS_INTERNAL,
    }
}

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the text for this thread until its next failure.
pub(super) fn record(message: String) {
    // While a thread ends its locals may be gone already; then nobody can ask either.
    let _ = LAST.try_with(|last| *last.borrow_mut() = message);
}

/// Copies out the text of the calling thread's last failure; empty if there was none.
///
/// The text stays until the thread's next failure; success and this function do not change it.
///
/// Shapes: `buf` [capacity], filled with as much as fits and always ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the whole text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut, `NEPAL_STATUS_INVALID_ARGUMENT`
/// for NULL.
///
/// Threads and ownership: any; each thread has its own text.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_last_error(
    buf: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> nepal_status_t {
    guard::quiet(|| {
        let message = LAST
            .try_with(|last| last.borrow().clone())
            .unwrap_or_default();
        // SAFETY: the caller promises the buffers; NULL is checked there.
        unsafe { text::write(&message, buf, capacity, needed) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_status_of_a_callback_comes_back_untouched() {
        assert_eq!(of(&Error::Callback(-7)), -7);
        assert_eq!(of(&Error::Callback(7)), NEPAL_STATUS_CALLBACK);
    }
}
