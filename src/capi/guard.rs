//! The one way in: every entry runs inside [`guard`], so that no panic reaches C.

use super::status::{self, NEPAL_STATUS_SUCCESS, nepal_status_t};
use crate::error::{Error, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an entry: an error or a panic becomes a status and the thread's last error.
pub(super) fn guard(body: impl FnOnce() -> Result<()>) -> nepal_status_t {
    run(body, true)
}

/// [`guard`] for the one entry that must not touch the last error: the one that reads it.
pub(super) fn quiet(body: impl FnOnce() -> Result<()>) -> nepal_status_t {
    run(body, false)
}

/// Runs a destructor, which has no status to return.
pub(super) fn silent(body: impl FnOnce() -> Result<()>) {
    run(body, true);
}

fn run(body: impl FnOnce() -> Result<()>, remember: bool) -> nepal_status_t {
    // What a panic may leave half done is behind a handle, which then refuses further calls.
    let error = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return NEPAL_STATUS_SUCCESS,
        Ok(Err(error)) => error,
        Err(payload) => Error::Internal(format!(
            "caught a panic: {}; please report it",
            describe(payload)
        )),
    };
    if remember {
        status::record(error.to_string());
    }
    status::of(&error)
}

/// The text of a panic. A payload may panic once more when it is dropped.
fn describe(payload: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no text".to_owned()
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::status::{NEPAL_STATUS_INTERNAL, NEPAL_STATUS_IO, nepal_last_error};

    /// What C sees of an entry that panics.
    extern "C" fn entry(kind: i32) -> nepal_status_t {
        struct Nasty;
        impl Drop for Nasty {
            fn drop(&mut self) {
                panic!("while dropping the payload");
            }
        }
        guard(|| match kind {
            0 => panic!("index {} is out of range", 7),
            1 => std::panic::panic_any(Nasty),
            2 => Err(Error::io("open", "x", std::io::ErrorKind::NotFound.into())),
            _ => Ok(()),
        })
    }

    fn last() -> String {
        let mut buf = [0u8; 200];
        let mut needed = 0;
        // SAFETY: the buffer has the size that is told.
        let status = unsafe { nepal_last_error(buf.as_mut_ptr().cast(), buf.len(), &mut needed) };
        assert_eq!(status, NEPAL_STATUS_SUCCESS);
        String::from_utf8(buf[..needed - 1].to_vec()).unwrap()
    }

    #[test]
    fn a_panic_becomes_a_status_and_keeps_its_text() {
        assert_eq!(entry(0), NEPAL_STATUS_INTERNAL);
        assert!(last().contains("index 7 is out of range"), "{}", last());
        assert_eq!(entry(1), NEPAL_STATUS_INTERNAL);
        assert!(last().contains("no text"), "{}", last());
    }

    #[test]
    fn the_last_error_survives_success_and_is_replaced_by_failure() {
        assert_eq!(entry(2), NEPAL_STATUS_IO);
        let first = last();
        assert!(first.contains("cannot open x"), "{first}");
        assert_eq!(entry(3), NEPAL_STATUS_SUCCESS);
        assert_eq!(last(), first);
        assert_eq!(entry(0), NEPAL_STATUS_INTERNAL);
        assert_ne!(last(), first);
    }

    #[test]
    fn each_thread_has_its_own_last_error() {
        assert_eq!(entry(2), NEPAL_STATUS_IO);
        let other = std::thread::spawn(last).join().unwrap();
        assert_eq!(other, "");
        assert!(last().contains("cannot open x"));
    }
}
