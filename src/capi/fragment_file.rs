//! Fragments, written to a file while a simulation runs.

use super::calculator::nepal_calculator_t;
use super::deliver::{Hook, Sink};
use super::fragment::*;
use super::handle;
use super::options;
use super::status::nepal_status_t;
use super::text;
use crate::error::Error;
use std::ffi::c_char;

/// Appends fragments to an extended XYZ file, in the place of a callback; NULL ends it.
///
/// Everything else is as with `nepal_calculator_set_fragment_callback`. Each fragment is one frame,
/// written whole in one go, so that a killed simulation leaves complete frames; processes of a
/// parallel host give each its own file. Columns: `mask` (weights of the forces in training), `core` (1
/// for atoms that stand where they stand in the simulation), `parent_id` (the host's names of the
/// atoms, -1 for inserted ones), and `grade` if it was optimised. The comment line tells the index of
/// the `target`, the host's name of it (`parent_atom`), the `step`, `target_grade`, `target_gamma`,
/// `target_rho`, which kind of grade it is, and how the fragment was made (`fragment_...`).
///
/// `path` ends with NUL; the file is made with the first fragment, in a folder that exists.
/// `options` may be NULL for the defaults.
///
/// Errors: `NEPAL_STATUS_IO` if the folder is missing; later, from the compute call, if writing
/// fails; `NEPAL_STATUS_INVALID_ARGUMENT` for options out of range. Threads: one at a time on a
/// calculator, and not from its own callback.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_set_fragment_file(
    calculator: *mut nepal_calculator_t,
    options: *const nepal_fragment_options_t,
    path: *const c_char,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            if path.is_null() {
                inner.hook = None;
                return Ok(());
            }
            let path = text::path(path, "path")?;
            let folder = match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => std::path::Path::new("."),
            };
            if !folder.is_dir() {
                let kind = std::io::ErrorKind::NotFound;
                return Err(Error::io("write fragments into", folder, kind.into()));
            }
            let options = options::given(options)?;
            inner.hook = Some(Hook::new(inner, &options, Sink::File(path))?);
            Ok(())
        })
    }
}
