//! Dispersion that is added to a model.

use super::calculator::nepal_calculator_t;
use super::status::nepal_status_t;
use super::{handle, text};
use crate::nep::d3::D3;
use std::ffi::c_char;

/// Adds DFT-D3 with the damping of Becke and Johnson to energies, forces and virials of the calls that
/// follow, as GPUMD's keyword `dftd3` does: without three-body terms, and cut off without smoothing.
///
/// It belongs to models whose training data had no dispersion correction. `functional` is the name of the
/// functional of these data, such as "pbe" or "b3lyp"; NULL adds none any more. Pairs interact below
/// `cutoff`, and count as coordinated below `coordination_cutoff`. The neighbours of a host's list must
/// reach as far as the larger of both, and its ghosts as `nepal_calculator_set_ranks` says for charges.
///
/// Units: cutoffs in Å, up to 100. Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for a functional without
/// parameters, a cutoff that is none; `NEPAL_STATUS_UNSUPPORTED` for an element of the model beyond Pu, for
/// a model of tensors.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: Grimme et al., J. Chem. Phys. 132, 154104 (2010); J. Comput. Chem. 32, 1456 (2011).
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_set_dftd3(
    calculator: *mut nepal_calculator_t,
    functional: *const c_char,
    cutoff: f64,
    coordination_cutoff: f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let d3 = match functional.is_null() {
                true => None,
                false => {
                    let name = text::utf8(functional, "functional")?;
                    Some(D3::new(name, cutoff, coordination_cutoff)?)
                }
            };
            inner.calculator.set_dispersion(d3)
        })
    }
}
