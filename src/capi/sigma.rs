//! The deviation of the total energy as something that can be differentiated: what biased dynamics needs.

use super::arguments::{check, input, number, output};
use super::calculator::{Inner, nepal_calculator_t};
use super::guard::guard;
use super::handed::{Handed, with_atoms};
use super::handle;
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::backend::Request;
use crate::calculator::Calculator;
use crate::error::Result;

/// The deviation σ of the total energy, and its gradient with respect to positions and strain.
///
/// Where σ is zero, so is its gradient. Ranks of a parallel host have each a part of the energy alone: they
/// use `nepal_calculator_sigma_columns_list` and `nepal_calculator_sigma_gradient_list`.
///
/// Shapes: `forces` [n_atoms][3], `virial` [3][3], NULL if not wanted. Units: `sigma` in eV; forces -dσ/dr in eV/Å;
/// virial -dσ/d(strain) in eV.
///
/// Errors: as `nepal_calculator_compute`; a calculator without a posterior.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: σ² = φᵀSφ of the energy's linear parameters; dσ = (S φ)ᵀ dφ / σ.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_contract_sigma(
    calculator: *mut nepal_calculator_t,
    structure: *const nepal_structure_t,
    sigma: *mut f64,
    forces: *mut f64,
    virial: *mut f64,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                with_atoms(inner, Handed::Structure(structure), |inner, atoms| {
                    contract(inner, atoms, [sigma, forces, virial])
                })
            })
        }
    })
}

/// How many columns the energy is linear in, for `nepal_calculator_sigma_columns_list`.
///
/// `count` is filled on success.
///
/// Errors: a calculator without a posterior.
///
/// Threads and ownership: one thread at a time on a calculator.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_sigma_count(
    calculator: *mut nepal_calculator_t,
    count: *mut usize,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                number(count, inner.calculator.sigma_count()?, "count")
            })
        }
    })
}

/// The sum over local atoms of what the energy is linear in: those of all ranks are to be added up.
///
/// Shapes: `columns` [`nepal_calculator_sigma_count`].
///
/// Errors: as `nepal_calculator_compute`; a calculator without a posterior.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_sigma_columns_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    columns: *mut f64,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                with_atoms(inner, Handed::List(list), |inner, atoms| {
                    check(columns, 1, "columns")?;
                    let found = inner.run(|calculator| calculator.sigma_columns(atoms.view()))?;
                    output(columns, &found, "columns")
                })
            })
        }
    })
}

/// The deviation σ of the total energy of all ranks, and its gradient with respect to the descriptors of the local
/// atoms, ready for `nepal_calculator_contract_list`.
///
/// Shapes: `columns` [`nepal_calculator_sigma_count`], summed over all ranks; `gradient` [n_local][dim]. Units: `sigma` in
/// eV.
///
/// Errors: as `nepal_calculator_sigma_columns_list`.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: as `nepal_calculator_contract_sigma`.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_sigma_gradient_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    columns: *const f64,
    sigma: *mut f64,
    gradient: *mut f64,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                with_atoms(inner, Handed::List(list), |inner, atoms| {
                    check(sigma, 1, "sigma")?;
                    if atoms.n_local() > 0 {
                        check(gradient, 1, "gradient")?;
                    }
                    let columns = input(columns, inner.calculator.sigma_count()?, "columns")?;
                    let (value, found) =
                        inner.run(|calculator| calculator.sigma_gradient(atoms.view(), columns))?;
                    number(sigma, value, "sigma")?;
                    output(gradient, &found, "gradient")
                })
            })
        }
    })
}

/// # Safety
///
/// The arrays are as the entry says.
unsafe fn contract(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    [sigma, forces, virial]: [*mut f64; 3],
) -> Result<()> {
    for (place, name) in [(sigma, "sigma"), (forces, "forces"), (virial, "virial")] {
        if !place.is_null() {
            check(place, 1, name)?;
        }
    }
    let carry = |calculator: &mut Calculator| {
        calculator.contract_sigma(atoms.view(), Request::WITHOUT_ENERGIES)
    };
    let value = inner.run(carry)?;
    let found = inner.calculator.contraction();
    // SAFETY: promised by the caller.
    unsafe {
        output(sigma, &[value], "sigma")?;
        output(forces, found.forces.as_flattened(), "forces")?;
        output(virial, &found.virial, "virial")
    }
}
