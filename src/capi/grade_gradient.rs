//! Grades as something that can be differentiated: what biased dynamics needs.

use super::arguments::{check, output};
use super::calculator::{Inner, nepal_calculator_t};
use super::compute::with_host_list;
use super::grade::measure_of;
use super::guard::guard;
use super::handle;
use super::options;
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::backend::{Request, System};
use crate::error::{Error, Result};
use crate::grade::Measure;
use crate::system::NeighborList;

/// Grades of all atoms and their gradients with respect to the descriptors.
///
/// Multiply the row of each atom with the derivative of a potential of its grade, and
/// `nepal_calculator_contract` gives that potential's forces and virial: this is how simulations are
/// pushed towards or kept from what the model does not know.
///
/// `measure` is one of `NEPAL_MEASURE_...`, of which only the last has no kinks; `exponent` is the p of
/// `NEPAL_MEASURE_SMOOTH`, at least 2, and 0 for the others. Shapes: `values` [n_atoms]; `gradient` [n_atoms][dim], that of an atom's
/// own measure with respect to its own scaled descriptors.
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
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                let structure = options::read(structure)?;
                let measure = measure_of((measure, exponent))?;
                let model = inner.calculator.model();
                let atoms = Atoms::of_structure(&structure, model)?;
                let list = NeighborList::build(&atoms.cell, atoms.positions, model.cutoff())?;
                differentiate(inner, &atoms, &list, measure, values, gradient)
            })
        }
    })
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
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                let host = options::read(list)?;
                let measure = measure_of((measure, exponent))?;
                with_host_list(inner, &host, |inner, atoms, list| {
                    differentiate(inner, atoms, list, measure, values, gradient)
                })
            })
        }
    })
}

/// # Safety
///
/// The arrays are as the entries say.
unsafe fn differentiate(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    list: &NeighborList,
    measure: Measure,
    values: *mut f64,
    gradient: *mut f64,
) -> Result<()> {
    for (place, name) in [(values, "values"), (gradient, "gradient")] {
        if !list.is_empty() {
            check(place, 1, name)?;
        }
    }
    let system = System {
        cell: &atoms.cell,
        positions: atoms.positions,
        types: &atoms.types,
        neighbors: list,
    };
    let calculator = &mut inner.calculator;
    let Some(set) = calculator.active_set().cloned() else {
        return Err(Error::invalid(
            "the gradient of grades was asked for but the calculator has no active set; set one first",
        ));
    };
    let model = calculator.model().clone();
    let found = inner.threads.run(|| {
        let request = Request::DESCRIPTORS;
        let descriptors = &calculator.compute_system(&system, request)?.descriptors;
        let types = &atoms.types[..list.len()];
        set.gradient_of_grade(&model, types, descriptors, measure, |values| {
            vec![1.0; values.len()]
        })
    })?;
    // SAFETY: promised by the caller.
    unsafe {
        output(values, &found.values, "values")?;
        output(gradient, &found.gradient, "gradient")
    }
}
