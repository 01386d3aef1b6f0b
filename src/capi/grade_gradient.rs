//! Grades as something that can be differentiated: what biased dynamics needs.

use super::arguments::{check, output};
use super::calculator::{Inner, nepal_calculator_t};
use super::grade::measure_of;
use super::handed::{Handed, on_atoms};
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::error::Result;
use crate::grade::Measure;

/// Grades of all atoms and their gradients with respect to the descriptors.
///
/// Multiply the row of each atom with the derivative of a potential of its grade, and
/// `nepal_calculator_contract` gives that potential's forces and virial: this is how simulations are
/// pushed towards or kept from what the model does not know.
///
/// `measure` is one of `NEPAL_MEASURE_...`, of which only the last has no kinks; `exponent` is the p of
/// `NEPAL_MEASURE_SMOOTH`, at least 2, and 0 for the others. Shapes: `values` [n_atoms]; `gradient` [n_atoms][dim], that of an atom's
/// own measure with respect to its own scaled descriptors. With `NEPAL_EFFORT_ABOVE` atoms whose grade is at most the
/// threshold have a bound of it and a gradient of 0, for potentials that are flat there.
///
/// Errors: as `nepal_calculator_compute`; a calculator without an active set.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: Lysogorskiy et al., Phys. Rev. Materials 7, 043801 (2023).
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_grade_gradient(
    calculator: *mut nepal_calculator_t,
    structure: *const nepal_structure_t,
    measure: u32,
    exponent: f64,
    values: *mut f64,
    gradient: *mut f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::Structure(structure), |inner, atoms| {
            let measure = measure_of((measure, exponent))?;
            differentiate(inner, atoms, measure, values, gradient)
        })
    }
}

/// `nepal_calculator_grade_gradient` with the host's own neighbour list.
///
/// Shapes: `values` [n_local]; `gradient` [n_local][dim], ready for
/// `nepal_calculator_contract_list`. All else as there.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_grade_gradient_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    measure: u32,
    exponent: f64,
    values: *mut f64,
    gradient: *mut f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::List(list), |inner, atoms| {
            let measure = measure_of((measure, exponent))?;
            differentiate(inner, atoms, measure, values, gradient)
        })
    }
}

/// # Safety
///
/// The arrays are as the entries say.
unsafe fn differentiate(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    measure: Measure,
    values: *mut f64,
    gradient: *mut f64,
) -> Result<()> {
    for (place, name) in [(values, "values"), (gradient, "gradient")] {
        if atoms.n_local() > 0 {
            check(place, 1, name)?;
        }
    }
    let found = inner.run(|calculator| {
        calculator.gradient_of_grade(atoms.view(), measure, |values| vec![1.0; values.len()])
    })?;
    // SAFETY: promised by the caller.
    unsafe {
        output(values, &found.values, "values")?;
        output(gradient, &found.gradient, "gradient")
    }
}
