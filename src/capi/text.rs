//! Text over the border: NUL-ended in, `(buf, capacity, needed)` out.

use crate::error::{Error, Result};
use std::ffi::{CStr, c_char};
use std::path::PathBuf;

/// Writes a text and its NUL; what does not fit is cut between characters and reported.
///
/// # Safety
///
/// `buf` has room for `capacity` bytes, `needed` for one number; either may be NULL.
pub(super) unsafe fn write(
    text: &str,
    buf: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> Result<()> {
    if needed.is_null() || !needed.is_aligned() || (buf.is_null() && capacity > 0) {
        return Err(Error::invalid(
            "text goes to (buf, capacity, needed); `needed` is not optional, and `buf` may be NULL only with capacity 0",
        ));
    }
    // C ends a text at the first NUL.
    let text = text.split('\0').next().unwrap_or_default();
    let full = text.len() + 1;
    // SAFETY: checked above, and promised by the caller.
    unsafe { needed.write(full) };
    if capacity > 0 {
        let mut fit = text.len().min(capacity - 1);
        while !text.is_char_boundary(fit) {
            fit -= 1;
        }
        // SAFETY: `fit + 1 <= capacity`, which the caller promises to be there.
        unsafe {
            buf.cast::<u8>()
                .copy_from_nonoverlapping(text.as_ptr(), fit);
            buf.add(fit).write(0);
        }
    }
    if full > capacity {
        return Err(Error::BufferTooSmall {
            needed: full,
            found: capacity,
        });
    }
    Ok(())
}

/// The bytes of a text of the caller's; `name` is the argument.
///
/// # Safety
///
/// `pointer` is NULL or points at a NUL-ended text that lives as long as the result.
pub(super) unsafe fn bytes<'a>(pointer: *const c_char, name: &str) -> Result<&'a [u8]> {
    if pointer.is_null() {
        return Err(Error::invalid(format!(
            "`{name}` is NULL; expected a text that ends with NUL"
        )));
    }
    // SAFETY: promised by the caller.
    Ok(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// A UTF-8 text of the caller's.
///
/// # Safety
///
/// As [`bytes`].
pub(super) unsafe fn utf8<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { bytes(pointer, name) }?;
    std::str::from_utf8(bytes).map_err(|e| {
        Error::invalid(format!(
            "`{name}` is not UTF-8 after byte {}; expected a UTF-8 text",
            e.valid_up_to()
        ))
    })
}

/// A file name of the caller's: any bytes on Unix, UTF-8 elsewhere.
///
/// # Safety
///
/// As [`bytes`].
pub(super) unsafe fn path(pointer: *const c_char, name: &str) -> Result<PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: promised by the caller.
        let bytes = unsafe { bytes(pointer, name) }?;
        Ok(std::ffi::OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    {
        // SAFETY: promised by the caller.
        Ok(unsafe { utf8(pointer, name) }?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_always_ended() {
        let text = "5 Å";
        for capacity in 0..8 {
            let mut buf = [0x7fu8; 8];
            let mut needed = 0;
            // SAFETY: the buffer has at least `capacity` bytes.
            let result = unsafe { write(text, buf.as_mut_ptr().cast(), capacity, &mut needed) };
            assert_eq!(needed, 5);
            assert_eq!(result.is_ok(), capacity >= 5);
            let expected: &[u8] = match capacity {
                0 => b"",
                1 => b"\0",
                2 => b"5\0",
                3 | 4 => b"5 \0",
                _ => "5 Å\0".as_bytes(),
            };
            assert_eq!(&buf[..expected.len()], expected);
            assert!(buf[expected.len()..].iter().all(|&b| b == 0x7f));
        }
    }
}
