//! Posteriors: how wrong a model may be.

use super::calculator::nepal_calculator_t;
use super::guard::silent;
use super::handle::{self, Handle};
use super::model::nepal_model_t;
use super::status::nepal_status_t;
use super::{arguments, text};
use crate::posterior::Posterior;
use std::ffi::c_char;
use std::sync::Arc;

/// Deviations of a model's forces and energies, fitted and calibrated with its training data; never
/// changes.
///
/// Threads and ownership: any number of threads may use one posterior at once. Calculators keep what
/// they need of it: free it when you no longer need it yourself.
///
/// Since: 0.2.
pub struct nepal_posterior_t {
    _private: [u8; 0],
}

impl Handle for nepal_posterior_t {
    type Object = Arc<Posterior>;
    const MARK: u64 = u64::from_le_bytes(*b"nepalPos");
    const NAME: &'static str = "nepal_posterior_t";
}

/// Reads the posterior of a model from a file that `nepal-loop train --posterior` wrote.
///
/// `path` ends with NUL. `posterior` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_IO`; `NEPAL_STATUS_PARSE` for a file that does not follow its format or is of
/// an older version; `NEPAL_STATUS_INVALID_ARGUMENT` for a posterior of another model.
///
/// Threads and ownership: any thread; the caller frees with `nepal_posterior_free`. The model may be
/// freed before.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_posterior_load(
    path: *const c_char,
    model: *const nepal_model_t,
    posterior: *mut *mut nepal_posterior_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(posterior, || {
            let model = handle::shared(model)?;
            let path = text::path(path, "path")?;
            Ok(Arc::new(Posterior::load(path, model)?))
        })
    }
}

/// Reads the posterior of a model from memory that holds what such a file holds.
///
/// Shapes: `data` [length] bytes, no NUL needed. `name` ends with NUL and stands for the file in
/// error messages. `posterior` is set to NULL first and filled on success.
///
/// Errors: as `nepal_posterior_load`.
///
/// Threads and ownership: as `nepal_posterior_load`; `data` may be freed afterwards.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_posterior_parse(
    data: *const c_char,
    length: usize,
    name: *const c_char,
    model: *const nepal_model_t,
    posterior: *mut *mut nepal_posterior_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(posterior, || {
            let model = handle::shared(model)?;
            let name = text::utf8(name, "name")?;
            let data = arguments::input(data.cast::<u8>(), length, "data")?;
            Ok(Arc::new(Posterior::read(data, name, model)?))
        })
    }
}

/// Frees a posterior; NULL is allowed.
///
/// Threads and ownership: calculators that use it stay valid.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_posterior_free(posterior: *mut nepal_posterior_t) {
    silent(|| {
        // SAFETY: the caller's promise, passed on.
        unsafe { handle::free(posterior) }
    })
}

/// Gives the calculator the posterior that deviations need; NULL takes it away.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` if the posterior belongs to another model.
///
/// Threads and ownership: one thread at a time. The posterior may be shared between calculators and
/// freed before them.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_set_posterior(
    calculator: *mut nepal_calculator_t,
    posterior: *const nepal_posterior_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let posterior = if posterior.is_null() {
                None
            } else {
                Some(Arc::clone(handle::shared(posterior)?))
            };
            inner.calculator.set_posterior(posterior)
        })
    }
}
