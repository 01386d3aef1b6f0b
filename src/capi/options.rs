//! Structs that begin with their own size, so that they can grow.

use crate::error::{Error, Result};

/// A struct of the ABI that begins with `struct_size`.
///
/// # Safety
///
/// The type is `repr(C)`, its first field is `struct_size: usize`, and all bytes zero make a valid
/// value.
pub(super) unsafe trait SizedStruct: Copy {
    /// Name in the header.
    const NAME: &'static str;
}

/// No struct of any version has only its size: what has, was not filled in.
const LEAST: usize = 2 * size_of::<usize>();
/// No struct of any version is larger; beyond it `struct_size` was not set.
const LARGEST: usize = 4096;

/// Reads options, which may be NULL: all of them are then zero, the default.
///
/// # Safety
///
/// As for [`read`].
pub(super) unsafe fn given<T: SizedStruct>(pointer: *const T) -> Result<T> {
    if pointer.is_null() {
        // SAFETY: zero is a valid value by the trait.
        return Ok(unsafe { std::mem::zeroed() });
    }
    // SAFETY: promised by the caller.
    unsafe { read(pointer) }
}

/// Reads a struct: what a shorter one lacks is zero, what a longer one has beyond must be zero.
///
/// # Safety
///
/// `pointer` is NULL, or readable as far as the size at its beginning says.
pub(super) unsafe fn read<T: SizedStruct>(pointer: *const T) -> Result<T> {
    let name = T::NAME;
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(Error::invalid(format!(
            "the {name} is {pointer:p}; expected a pointer to a struct set up with its ..._INIT macro"
        )));
    }
    // SAFETY: the struct begins with its size.
    let size = unsafe { pointer.cast::<usize>().read() };
    if !(LEAST..=LARGEST).contains(&size) || !size.is_multiple_of(align_of::<T>()) {
        return Err(Error::invalid(format!(
            "the struct_size of the {name} is {size}; expected {}: set it up with its ..._INIT macro",
            size_of::<T>()
        )));
    }
    let known = size.min(size_of::<T>());
    // SAFETY: the caller promises `size` readable bytes, and `known` is not more.
    let tail = unsafe {
        std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size.saturating_sub(known))
    };
    if let Some(byte) = tail.iter().position(|&b| b != 0) {
        return Err(Error::Unsupported(format!(
            "the {name} uses a field at byte {} that this version of nepal does not know; update the library or leave the field zero",
            known + byte
        )));
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are readable and fit; the rest is zero, a valid value by the trait.
    Ok(unsafe {
        value
            .as_mut_ptr()
            .cast::<u8>()
            .copy_from_nonoverlapping(pointer.cast::<u8>(), known);
        value.assume_init()
    })
}

/// Refuses a reserved field that is not zero.
pub(super) fn reserved(value: u32, name: &str, field: &str) -> Result<()> {
    if value == 0 {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "`{field}` of the {name} is {value}; it is reserved in this version and must be 0"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Old {
        struct_size: usize,
        a: u32,
        b: u32,
        c: f64,
    }

    // SAFETY: plain numbers, size first.
    unsafe impl SizedStruct for Old {
        const NAME: &'static str = "nepal_old_t";
    }

    /// `Old` as a later version would have it.
    #[repr(C)]
    struct New {
        old: Old,
        d: u64,
    }

    fn old(struct_size: usize) -> Old {
        Old {
            struct_size,
            a: 1,
            b: 2,
            c: 3.0,
        }
    }

    #[test]
    fn a_shorter_struct_means_defaults() {
        let given = old(16);
        // SAFETY: 16 bytes are there.
        let read = unsafe { read(&given) }.unwrap();
        assert_eq!((read.a, read.b, read.c), (1, 2, 0.0));
    }

    #[test]
    fn a_longer_struct_must_end_with_zeros() {
        let mut new = New {
            old: old(size_of::<New>()),
            d: 0,
        };
        let pointer = (&raw const new).cast::<Old>();
        // SAFETY: the whole of `new` is there.
        assert_eq!(unsafe { read(pointer) }.unwrap().c, 3.0);
        new.d = 1 << 40;
        let pointer = (&raw const new).cast::<Old>();
        // SAFETY: as above.
        let error = unsafe { read(pointer) }.unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("byte 29"), "{error}");
    }

    #[test]
    fn sizes_that_no_macro_sets_are_refused() {
        for size in [0, 7, 8, 20, 1 << 20, usize::MAX] {
            // SAFETY: refused before anything but the size is read.
            assert!(unsafe { read(&old(size)) }.is_err(), "{size}");
        }
        // SAFETY: NULL is allowed.
        assert!(unsafe { read::<Old>(std::ptr::null()) }.is_err());
    }
}
