//! The only place where a pointer of C becomes an object of ours and back.

use super::arguments;
use super::guard::guard;
use super::status::nepal_status_t;
use crate::error::{Error, Result};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Fixes which object is behind a handle, so that a wrong cast does not compile.
pub(super) trait Handle {
    /// The object.
    type Object;
    /// Tells handles of this kind from others and from freed ones.
    const MARK: u64;
    /// Name in the header.
    const NAME: &'static str;

    /// Gets an object ready for a call that uses it alone.
    fn enter(_: &mut Self::Object) -> Result<()> {
        Ok(())
    }
}

/// What a handle points at. The mark finds handles that were mixed up, freed, or never made; it is
/// help for the caller, not a promise.
#[repr(C)]
struct Held<T> {
    mark: AtomicU64,
    state: AtomicU32,
    object: UnsafeCell<T>,
}

/// Nobody is inside.
const IDLE: u32 = 0;
/// A call is inside.
const BUSY: u32 = 1;
/// A call panicked and left the object in an unknown state.
const BROKEN: u32 = 2;

/// Sets an out-handle to NULL, as every entry that makes one does first.
///
/// # Safety
///
/// `out` is NULL or has room for a pointer.
pub(super) unsafe fn clear<H: Handle>(out: *mut *mut H) -> Result<()> {
    // SAFETY: promised by the caller; NULL is checked there.
    unsafe { arguments::number(out, std::ptr::null_mut(), "the place for the new handle") }
}

/// Hands an object over to C.
///
/// # Safety
///
/// As [`clear`], which was called before.
pub(super) unsafe fn give<H: Handle>(out: *mut *mut H, object: H::Object) {
    let held = Box::new(Held {
        mark: AtomicU64::new(H::MARK),
        state: AtomicU32::new(IDLE),
        object: UnsafeCell::new(object),
    });
    // SAFETY: checked by `clear`.
    unsafe { out.write(Box::into_raw(held).cast()) }
}

/// An entry that makes a new handle: `out` is NULL until `body` has made the object.
///
/// # Safety
///
/// `out` is NULL or has room for a handle.
pub(super) unsafe fn make<H: Handle>(
    out: *mut *mut H,
    body: impl FnOnce() -> Result<H::Object>,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: promised by the caller.
        unsafe {
            clear(out)?;
            give(out, body()?);
        }
        Ok(())
    })
}

/// # Safety
///
/// `handle` is NULL or points at readable memory of the size of a handle.
unsafe fn held<'a, H: Handle>(handle: *const H) -> Result<&'a Held<H::Object>> {
    let pointer = handle.cast::<Held<H::Object>>();
    let name = H::NAME;
    if pointer.is_null() {
        return Err(Error::invalid(format!(
            "the {name} is NULL; expected a handle made by nepal"
        )));
    }
    // SAFETY: aligned, and readable by the caller's promise; atomics have no invalid values.
    let known =
        pointer.is_aligned() && unsafe { (*pointer).mark.load(Ordering::Relaxed) } == H::MARK;
    if !known {
        return Err(Error::invalid(format!(
            "{handle:p} is not a {name}; was it freed, or is it a handle of another kind?"
        )));
    }
    // SAFETY: it carries our mark, so it was made by `give` and is not freed.
    Ok(unsafe { &*pointer })
}

/// The object behind a `const` handle, which any number of threads may use.
///
/// # Safety
///
/// As [`held`]; the handle is not freed while the result lives, and never given to [`exclusive`].
pub(super) unsafe fn shared<'a, H: Handle>(handle: *const H) -> Result<&'a H::Object>
where
    H::Object: Sync + 'a,
{
    // SAFETY: promised by the caller; without `exclusive` nobody has a mutable reference.
    unsafe { Ok(&*held(handle)?.object.get()) }
}

/// Runs `body` on the object behind a handle that one call at a time may use.
///
/// A second call meanwhile, from the caller's own callback or another thread, gets an error.
///
/// # Safety
///
/// As [`held`]; the handle is not freed meanwhile, and never given to [`shared`].
pub(super) unsafe fn exclusive<H: Handle>(
    handle: *mut H,
    body: impl FnOnce(&mut H::Object) -> Result<()>,
) -> Result<()> {
    // SAFETY: promised by the caller.
    let held = unsafe { held::<H>(handle) }?;
    let name = H::NAME;
    match held
        .state
        .compare_exchange(IDLE, BUSY, Ordering::Acquire, Ordering::Relaxed)
    {
        Ok(_) => {}
        Err(BROKEN) => {
            return Err(Error::Internal(format!(
                "an earlier call panicked inside this {name}; free it and make a new one"
            )));
        }
        Err(_) => {
            return Err(Error::invalid(format!(
                "the {name} is in use by another call; use it from one thread at a time, and not from its own callback"
            )));
        }
    }
    /// Marks the object broken unless the call came to its end.
    struct Release<'a>(&'a AtomicU32, u32);
    impl Drop for Release<'_> {
        fn drop(&mut self) {
            self.0.store(self.1, Ordering::Release);
        }
    }
    let mut release = Release(&held.state, BROKEN);
    // SAFETY: the state admits one call at a time, so this is the only reference.
    let object = unsafe { &mut *held.object.get() };
    let result = H::enter(object).and_then(|()| body(object));
    release.1 = IDLE;
    result
}

/// An entry that uses an object by itself, as [`exclusive`] does.
///
/// # Safety
///
/// As for [`exclusive`].
pub(super) unsafe fn call<H: Handle>(
    handle: *mut H,
    body: impl FnOnce(&mut H::Object) -> Result<()>,
) -> nepal_status_t {
    // SAFETY: promised by the caller.
    guard(|| unsafe { exclusive(handle, body) })
}

/// Frees an object; NULL and what carries no mark of ours is left alone.
///
/// An object that a call is still inside of is leaked rather than pulled away from under it.
///
/// # Safety
///
/// As [`held`]; no other call uses or frees the handle now or later.
pub(super) unsafe fn free<H: Handle>(handle: *mut H) -> Result<()> {
    if handle.is_null() {
        return Ok(());
    }
    // SAFETY: promised by the caller.
    let held = unsafe { held::<H>(handle) }?;
    if held.state.load(Ordering::Acquire) == BUSY {
        return Err(Error::invalid(format!(
            "the {} is in use by a call, perhaps the callback that frees it; it stays",
            H::NAME
        )));
    }
    held.mark.store(0, Ordering::Relaxed);
    // SAFETY: made by `give`, marked until just now, and nobody else uses it.
    drop(unsafe { Box::from_raw(handle.cast::<Held<H::Object>>()) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct cat_t;
    impl Handle for cat_t {
        type Object = String;
        const MARK: u64 = 0x6361_7463_6174_6361;
        const NAME: &'static str = "cat_t";
    }
    struct dog_t;
    impl Handle for dog_t {
        type Object = u32;
        const MARK: u64 = 0x646f_6764_6f67_646f;
        const NAME: &'static str = "dog_t";
    }

    #[test]
    fn a_handle_is_of_its_kind_and_used_once_at_a_time() {
        let mut cat: *mut cat_t = std::ptr::null_mut();
        // SAFETY: handles made here, used as made, freed once.
        unsafe {
            clear(&mut cat).unwrap();
            give(&mut cat, "Tom".to_owned());
            assert!(shared::<dog_t>(cat.cast()).is_err());
            assert!(free::<dog_t>(cat.cast()).is_err());
            exclusive(cat, |name| {
                assert!(exclusive(cat, |_| Ok(())).is_err());
                assert!(free(cat).is_err());
                name.push('!');
                Ok(())
            })
            .unwrap();
            let panicked = std::panic::catch_unwind(|| exclusive(cat, |_| panic!("ouch")));
            assert!(panicked.is_err());
            let error = exclusive(cat, |_| Ok(())).unwrap_err();
            assert!(matches!(error, Error::Internal(_)), "{error}");
            free(cat).unwrap();
            free::<cat_t>(std::ptr::null_mut()).unwrap();
        }
    }

    #[test]
    fn memory_that_is_no_handle_is_refused() {
        let zeros = [0u64; 8];
        // SAFETY: readable memory.
        unsafe {
            assert!(shared::<cat_t>(zeros.as_ptr().cast()).is_err());
            assert!(shared::<cat_t>(zeros.as_ptr().cast::<u8>().add(1).cast()).is_err());
            assert!(shared::<cat_t>(std::ptr::null()).is_err());
        }
    }
}
