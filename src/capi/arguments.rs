//! Pointers of the caller's become slices here, checked as far as a pointer can be.

use crate::error::{Error, Result};

/// `len` values to read. With `len` 0 the pointer is not looked at.
///
/// # Safety
///
/// A pointer that is neither NULL nor misaligned has `len` values behind it, which nobody changes
/// while the slice lives.
pub(super) unsafe fn input<'a, T>(pointer: *const T, len: usize, name: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer, len, name)?;
    // SAFETY: not NULL, aligned, not longer than memory, and promised by the caller.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// [`input`] for an array that may be missing.
///
/// # Safety
///
/// As [`input`].
pub(super) unsafe fn optional<'a, T>(
    pointer: *const T,
    len: usize,
    name: &str,
) -> Result<Option<&'a [T]>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: promised by the caller.
    unsafe { input(pointer, len, name) }.map(Some)
}

/// Refuses a NULL or misaligned place for `len` results.
pub(super) fn check<T>(pointer: *const T, len: usize, name: &str) -> Result<()> {
    if pointer.is_null() {
        return Err(Error::invalid(format!(
            "`{name}` is NULL; expected an array of {len}"
        )));
    }
    if !pointer.is_aligned() {
        return Err(Error::invalid(format!(
            "`{name}` is {pointer:p}, which is not aligned to {} bytes; is it the right pointer?",
            align_of::<T>()
        )));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Error::invalid(format!(
            "`{name}` would have {len} entries, more than fit into memory; is the count right?"
        )));
    }
    Ok(())
}

/// Copies results to the caller; NULL means not wanted.
///
/// No slice is made of the destination: arrays of the caller may overlap.
///
/// # Safety
///
/// `pointer` is NULL or has room for `values`.
pub(super) unsafe fn output<T: Copy>(pointer: *mut T, values: &[T], name: &str) -> Result<()> {
    if pointer.is_null() || values.is_empty() {
        return Ok(());
    }
    check(pointer, values.len(), name)?;
    // SAFETY: aligned, and room is promised by the caller.
    unsafe { pointer.copy_from(values.as_ptr(), values.len()) };
    Ok(())
}

/// Writes one number; the place is not optional.
///
/// # Safety
///
/// As [`output`].
pub(super) unsafe fn number<T: Copy>(pointer: *mut T, value: T, name: &str) -> Result<()> {
    check(pointer, 1, name)?;
    // SAFETY: as above.
    unsafe { pointer.write(value) };
    Ok(())
}
