//! Sets that learn while they are used.

use super::arguments::{check, number};
use super::calculator::{Inner, nepal_calculator_t};
use super::handed::{Handed, on_atoms};
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::error::Result;

/// Takes the environments whose grade is above a threshold into the calculator's active set, worst
/// first, so that they and their like are not above it any more.
///
/// A run that exports what it does not know calls this for each export, and exports nothing twice.
/// The set of `nepal_calculator_set_active_set` and other calculators keep what they have. Building
/// the set afresh from the labelled data is what makes grades comparable again.
///
/// Shapes: `n_learned` 1, the number of environments taken in. `threshold` is at least 1.
///
/// Errors: as `nepal_calculator_compute`; without an active set.
///
/// Threads and ownership: one thread at a time on a calculator.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_learn(
    calculator: *mut nepal_calculator_t,
    structure: *const nepal_structure_t,
    threshold: f64,
    n_learned: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::Structure(structure), |inner, atoms| {
            learn(inner, atoms, threshold, n_learned)
        })
    }
}

/// `nepal_calculator_learn` with the host's own neighbour list.
///
/// Shapes, errors, threads: as `nepal_calculator_learn`.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_learn_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    threshold: f64,
    n_learned: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::List(list), |inner, atoms| {
            learn(inner, atoms, threshold, n_learned)
        })
    }
}

/// # Safety
///
/// `n_learned` is NULL or has room for a number.
unsafe fn learn(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    threshold: f64,
    n_learned: *mut usize,
) -> Result<()> {
    check(n_learned, 1, "n_learned")?;
    let learnt = inner.run(|calculator| calculator.learn(atoms.view(), threshold))?;
    // SAFETY: promised by the caller.
    unsafe { number(n_learned, learnt, "n_learned") }
}
