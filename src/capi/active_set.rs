//! Active sets.

use super::guard::{guard, silent};
use super::handle::{self, Handle};
use super::model::nepal_model_t;
use super::status::nepal_status_t;
use super::{arguments, text};
use crate::grade::{ActiveSet, GradeKind};
use std::ffi::c_char;
use std::sync::Arc;

/// The public form: γ = max|B A⁻¹| as `.asi` files define it; there is no ρ. Directions that never
/// occurred in training count as safe. Since: 0.1.
pub const NEPAL_GRADE_COMPAT: u32 = 1;
/// nepal's form of version 0.1, whose scale drifted with the data; refused since 0.2. Since: 0.1.
pub const NEPAL_GRADE_TWO_PART: u32 = 2;
/// nepal's own form, the default: one formula for known and unknown directions, on one scale for all
/// elements and amounts of data. Since: 0.2.
pub const NEPAL_GRADE_RIDGE: u32 = 3;

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
    type Object = Kept;
    const MARK: u64 = u64::from_le_bytes(*b"nepalSet");
    const NAME: &'static str = "nepal_active_set_t";
}

/// What is behind an active set.
pub(super) struct Kept {
    pub set: Arc<ActiveSet>,
    /// How it was made, if it was made here.
    pub report: String,
}

/// Reads the active set of a model from a file, nepal's own or the public `.asi` text.
///
/// `path` ends with NUL. `active_set` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_IO`; `NEPAL_STATUS_PARSE` for a file that does not follow its format or is
/// damaged; `NEPAL_STATUS_INVALID_ARGUMENT` for a set that was made for another model.
///
/// Threads and ownership: any thread; the caller frees with `nepal_active_set_free`. The model may
/// be freed before.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_load(
    path: *const c_char,
    model: *const nepal_model_t,
    active_set: *mut *mut nepal_active_set_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(active_set, || {
            let model = handle::shared(model)?;
            let path = text::path(path, "path")?;
            Ok(Kept {
                set: Arc::new(ActiveSet::load(path, model)?),
                report: String::new(),
            })
        })
    }
}

/// Reads the active set of a model from memory that holds what such a file holds.
///
/// Shapes: `data` [length] bytes, no NUL needed. `name` ends with NUL and stands for the file in
/// error messages. `active_set` is set to NULL first and filled on success.
///
/// Errors: as `nepal_active_set_load`.
///
/// Threads and ownership: as `nepal_active_set_load`; `data` may be freed afterwards.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_parse(
    data: *const c_char,
    length: usize,
    name: *const c_char,
    model: *const nepal_model_t,
    active_set: *mut *mut nepal_active_set_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(active_set, || {
            let model = handle::shared(model)?;
            let name = text::utf8(name, "name")?;
            let data = arguments::input(data.cast::<u8>(), length, "data")?;
            Ok(Kept {
                set: Arc::new(ActiveSet::read(data, name, model)?),
                report: String::new(),
            })
        })
    }
}

/// Which form the grades of a set have: `NEPAL_GRADE_...`.
///
/// Say it wherever you print a grade: the numbers of the two forms do not compare.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_kind(
    active_set: *const nepal_active_set_t,
    kind: *mut u32,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            let found = match handle::shared(active_set)?.set.kind() {
                GradeKind::Compat => NEPAL_GRADE_COMPAT,
                GradeKind::Ridge => NEPAL_GRADE_RIDGE,
            };
            arguments::number(kind, found, "kind")
        }
    })
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
