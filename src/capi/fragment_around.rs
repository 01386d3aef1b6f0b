//! A fragment around an atom that the caller names.

use super::calculator::nepal_calculator_t;
use super::deliver::{Delivery, Target, as_structure, fragment_options};
use super::fragment::*;
use super::handle;
use super::options;
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_structure_t};
use crate::backend::Request;
use crate::error::{Error, Result};
use crate::fragment::{Outcome, carve, extract};
use std::ffi::c_void;

/// Carves a small periodic structure around one atom and hands it to a callback, once.
///
/// With `NEPAL_FRAGMENT_OPTIMISE` the boundary is relaxed and, if the calculator has an active set,
/// its grade minimised; the calculator's active set is not changed. `save` and `max_fragments` of
/// the options are not looked at. The grades of the target are NaN without an active set.
///
/// `target` counts from 0. `options` may be NULL for the defaults; `user_data` is handed back to the
/// callback.
///
/// Errors: `NEPAL_STATUS_FAILED` with the reason if no fragment can be made: the callback is then
/// not called. As `nepal_calculator_compute`; `NEPAL_STATUS_INVALID_ARGUMENT` for a target that does
/// not exist, options out of range, a missing callback; a negative status of the callback,
/// untouched.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_fragment_around(
    calculator: *mut nepal_calculator_t,
    structure: *const nepal_structure_t,
    target: usize,
    options: *const nepal_fragment_options_t,
    callback: nepal_fragment_callback_t,
    user_data: *mut c_void,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let given = options::given(options)?;
            let callback = callback.ok_or_else(|| {
                Error::invalid("the callback is NULL; expected a function that takes the fragment")
            })?;
            let structure = options::read(structure)?;
            let model = std::sync::Arc::clone(inner.calculator.model());
            let options = fragment_options(&given, &model)?;
            let atoms = Atoms::of_structure(&structure, &model)?;
            let parent = as_structure(&atoms, &model);
            if target >= parent.len() {
                return Err(Error::invalid(format!(
                    "the target is atom {target}; the structure has {} atoms, counted from 0",
                    parent.len()
                )));
            }
            let (grade, made) = inner.run(|calculator| -> Result<_> {
                let grade = match calculator.active_set() {
                    None => [f64::NAN; 3],
                    Some(_) => {
                        let found = calculator.compute(&parent, Request::GRADES)?;
                        [found.grade[target], found.gamma[target], found.rho[target]]
                    }
                };
                let made = if given.flags & NEPAL_FRAGMENT_OPTIMISE != 0 {
                    extract(calculator, &parent, target, &options)?
                } else {
                    carve(&model, &parent, target, &options)?
                };
                Ok((grade, made))
            })?;
            let tag = |i: usize| atoms.tags.map_or(i as i64, |tags| tags[i]);
            let parcel = match &made {
                Outcome::Fragment(fragment) => Delivery::of_fragment(fragment, tag),
                Outcome::WholeParent { reason } => Delivery::of_whole(&parent, target, reason, tag),
                Outcome::Refused { reason } => {
                    return Err(Error::Failed(format!(
                        "no fragment can be made around atom {target}: {reason}"
                    )));
                }
            };
            let types = model.types_of(&parcel.structure.elements)?;
            let target = Target {
                tag: tag(target),
                grade,
                step: atoms.step,
            };
            match parcel.with_view(&types, &target, |view| callback(user_data, view)) {
                0 => Ok(()),
                status => Err(Error::Callback(status)),
            }
        })
    }
}
