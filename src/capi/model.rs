//! Models.

use super::guard::{guard, silent};
use super::handle::{self, Handle};
use super::status::nepal_status_t;
use super::{arguments, text};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;
use std::ffi::c_char;
use std::sync::Arc;

/// A potential, read from a `nep.txt`; never changes.
///
/// Threads and ownership: any number of threads may use one model at once. Calculators and active
/// sets keep what they need of it: free it when you no longer need it yourself.
///
/// Since: 0.1.
pub struct nepal_model_t {
    _private: [u8; 0],
}

impl Handle for nepal_model_t {
    type Object = Arc<Model>;
    const MARK: u64 = u64::from_le_bytes(*b"nepalMod");
    const NAME: &'static str = "nepal_model_t";
}

/// Reads a model from a file.
///
/// `path` ends with NUL. `model` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_IO`; `NEPAL_STATUS_PARSE` with the line, what was expected and what was
/// found; `NEPAL_STATUS_UNSUPPORTED` for members of the NEP family that are not potentials.
///
/// Threads and ownership: any thread; the caller frees with `nepal_model_free`.
///
/// Source: the file format of GPUMD.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_load(
    path: *const c_char,
    model: *mut *mut nepal_model_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(model, || {
            let path = text::path(path, "path")?;
            Ok(Arc::new(Model::load(path)?))
        })
    }
}

/// Reads a model from memory that holds the text of a `nep.txt`.
///
/// Shapes: `data` [length] bytes, no NUL needed. `name` ends with NUL and stands for the file in
/// error messages. `model` is set to NULL first and filled on success.
///
/// Errors: as `nepal_model_load`.
///
/// Threads and ownership: any thread; `data` may be freed afterwards; the caller frees the model
/// with `nepal_model_free`.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_parse(
    data: *const c_char,
    length: usize,
    name: *const c_char,
    model: *mut *mut nepal_model_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(model, || {
            let name = text::utf8(name, "name")?;
            let data = arguments::input(data.cast::<u8>(), length, "data")?;
            Ok(Arc::new(Model::parse(data, name)?))
        })
    }
}

/// Writes a model as a `nep.txt` that reads back to the same numbers.
///
/// An existing file is replaced by a complete one or not at all.
///
/// Errors: `NEPAL_STATUS_IO`.
///
/// Threads and ownership: any number of threads, each with its own file.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_save(
    model: *const nepal_model_t,
    path: *const c_char,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        let (model, path) = unsafe { (handle::shared(model)?, text::path(path, "path")?) };
        model.save(path)
    })
}

/// Frees a model; NULL is allowed.
///
/// Threads and ownership: calculators and active sets made from it stay valid.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_free(model: *mut nepal_model_t) {
    silent(|| {
        // SAFETY: the caller's promise, passed on.
        unsafe { handle::free(model) }
    })
}

/// Number of types, one for each element that the model knows.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_n_types(
    model: *const nepal_model_t,
    n_types: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe { get(model, n_types, "n_types", |m| m.elements().len()) }
}

/// Symbol of the element of a type, such as "Si".
///
/// Shapes: `type` from 0 to `n_types` - 1; `buf` [capacity], filled with as much as fits and ended
/// by NUL; NULL only with `capacity` 0. `needed` receives the bytes that the text takes, its NUL
/// included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`.
/// Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_element(
    model: *const nepal_model_t,
    r#type: i32,
    buf: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promise, passed on.
        let elements = unsafe { handle::shared(model) }?.elements();
        let element = usize::try_from(r#type)
            .ok()
            .and_then(|t| elements.get(t))
            .ok_or_else(|| {
                Error::invalid(format!(
                    "type {} does not exist; the model has the types 0 to {}",
                    r#type,
                    elements.len() - 1
                ))
            })?;
        // SAFETY: the caller's promise, passed on.
        unsafe { text::write(element.symbol(), buf, capacity, needed) }
    })
}

/// Type of an element: the number that stands for it in `types`.
///
/// `symbol` ends with NUL, such as "Si".
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` if the model was not trained for it; the text names the
/// elements that it knows. Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_type(
    model: *const nepal_model_t,
    symbol: *const c_char,
    r#type: *mut i32,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            let model = handle::shared(model)?;
            let element = Element::from_symbol(text::utf8(symbol, "symbol")?)?;
            // A model has at most as many types as there are elements.
            arguments::number(r#type, model.type_of(element)? as i32, "type")
        }
    })
}

/// The kind of the model as the first word of its file has it, such as "nep4_zbl" or "nep4_charge1".
///
/// Shapes: as `nepal_model_element`.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`.
/// Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_kind(
    model: *const nepal_model_t,
    buf: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            let kind = handle::shared(model)?.header().token();
            text::write(&kind, buf, capacity, needed)
        }
    })
}

/// Largest interaction range of any pair.
///
/// Neighbour lists of a host must reach this far, and ghosts must be there up to it.
///
/// Units: Å. Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_cutoff(
    model: *const nepal_model_t,
    cutoff: *mut f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe { get(model, cutoff, "cutoff", |m| m.cutoff()) }
}

/// Length of an atom's descriptor: the `dim` of `nepal_results_t.descriptors`.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_dim(
    model: *const nepal_model_t,
    dim: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe { get(model, dim, "dim", |m| m.dim()) }
}

/// Length of an atom's projection: neurons times (`dim` + 2).
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_model_projection_length(
    model: *const nepal_model_t,
    length: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe { get(model, length, "length", |m| m.layout().projection_len()) }
}

/// One number of a model.
///
/// # Safety
///
/// As the getters above.
unsafe fn get<T: Copy>(
    model: *const nepal_model_t,
    place: *mut T,
    name: &str,
    value: impl FnOnce(&Model) -> T,
) -> nepal_status_t {
    guard(|| -> Result<()> {
        // SAFETY: the caller's promises, passed on.
        unsafe { arguments::number(place, value(handle::shared(model)?), name) }
    })
}
